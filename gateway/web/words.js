// A face in words and numbers, the same on cards, on the picture, in tables and in files.

// A model is never certain, and never quite without doubt: neither 100 % nor 0 %.
export const percent = (p) => (p >= 0.995 ? "over 99 %" : p < 0.005 ? "under 1 %" : `${Math.round(p * 100)} %`);

const LEAST_PX = 32;
const LEAST_QUALITY = 25;
const LEAST_CONFIDENCE = 0.6;

// Why little can be said about a face; empty when nothing speaks against it.
export function doubt(face) {
  const { x1, y1, x2, y2 } = face.box;
  const side = Math.round(Math.min(x2 - x1, y2 - y1));
  if (side < LEAST_PX) return `The face is only ${side} pixels wide.`;
  if (face.quality && face.quality.overall < LEAST_QUALITY) return "The face is blurred, dark or partly covered.";
  if (face.confidence < LEAST_CONFIDENCE) return "This may be no face.";
  return "";
}

export function headline(face) {
  if (doubt(face)) return "not sure";
  return [face.gender?.value, face.age === undefined ? "" : `about ${Math.round(face.age)}`, face.emotion?.dominant].filter(Boolean).join(", ") || percent(face.confidence);
}

export function facts(face) {
  const rows = [["confidence", percent(face.confidence)]];
  const range = face.age_range && `, ${Math.round(face.age_range.low)} to ${Math.round(face.age_range.high)}`;
  if (face.age !== undefined) rows.push(["age", `about ${Math.round(face.age)} years${range ?? ""}`]);
  if (face.gender) rows.push(["gender", `${face.gender.value}, ${percent(face.gender.probability)}`]);
  if (face.liveness) rows.push(["liveness", face.liveness.is_real ? `living face, ${percent(face.liveness.score)}` : `picture of a face, ${percent(1 - face.liveness.score)}`]);
  for (const name of ["glasses", "mask"]) if (face[name]) rows.push([name, `${face[name].value}, ${percent(face[name].probabilities[face[name].value])}`]);
  if (face.hat) rows.push(["hat", `${face.hat.value}, ${percent(face.hat.probability)}`]);
  if (face.beauty !== undefined) rows.push(["beauty", `${Math.round(face.beauty)} of 100, as some raters see it`]);
  if (face.pose) rows.push(["pose", `yaw ${face.pose.yaw}°, pitch ${face.pose.pitch}°, roll ${face.pose.roll}°`]);
  return rows;
}
