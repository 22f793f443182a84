// Many pictures: a gallery to choose from, what they have in common, and files with everything.
import { $, element } from "./dom.js";
import { fillBars } from "./cards.js";

const DECADES = [[0, "under 10"], [10, "10 to 19"], [20, "20 to 29"], [30, "30 to 39"], [40, "40 to 49"], [50, "50 to 59"], [60, "60 and over"]];

// Those of `vultus analyze --csv`, in its order.
export const COLUMNS = [
  "picture", "width", "height", "faces", "face", "x1", "y1", "x2", "y2", "confidence", "age", "gender", "gender_probability",
  "emotion", "emotion_probability", "race", "race_probability", "liveness", "is_real", "glasses", "glasses_probability",
  "mask", "mask_probability", "hat", "hat_probability", "beauty", "quality", "yaw", "pitch", "roll",
  "age_range_low", "age_range_high", "error",
];

export function tile(item, onChoose) {
  const made = element("button", undefined, { type: "button", class: "tile" }, element("canvas", undefined, { width: 160, height: 120, "aria-hidden": "true" }), element("span", item.name, { class: "tile-name" }), element("span", "waiting", { class: "tile-said" }));
  made.addEventListener("click", () => onChoose(item));
  return element("li", undefined, {}, made);
}

export function fillTile(item, image) {
  const [canvas, , said] = item.tile.firstElementChild.children;
  said.textContent = item.error ? "failed" : item.answer.faces.length === 1 ? "1 face" : item.answer.faces.length ? `${item.answer.faces.length} faces` : "no face";
  item.tile.firstElementChild.classList.toggle("failed", Boolean(item.error));
  if (!image) return;
  const scale = Math.max(canvas.width / image.width, canvas.height / image.height);
  const [wide, tall] = [image.width * scale, image.height * scale];
  canvas.getContext("2d").drawImage(image, (canvas.width - wide) / 2, (canvas.height - tall) / 2, wide, tall);
}

export function choose(items, item) {
  for (const other of items) other.tile.firstElementChild.setAttribute("aria-pressed", other === item);
}

export function histograms(items) {
  const faces = items.flatMap((item) => item.answer?.faces ?? []);
  const ages = Object.fromEntries(DECADES.map(([, name]) => [name, 0]));
  for (const { age } of faces) if (age !== undefined) ages[DECADES.findLast(([from]) => age >= from)[1]] += 1;
  const emotions = {};
  for (const { emotion } of faces) {
    if (!emotion) continue;
    for (const name of Object.keys(emotion.probabilities)) emotions[name] ??= 0;
    emotions[emotion.dominant] += 1;
  }
  for (const [id, counts] of [["ages", ages], ["emotions", emotions]]) fillBars($(id), counts, Math.max(1, ...Object.values(counts)) + 1e-9);
}

// A cell that begins like a formula is quoted, because spreadsheets run formulas.
const cell = (value) => (typeof value === "number" ? value : `"${String(value).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`);

export function csv(items) {
  const lines = items.flatMap(({ name, answer, error }) => {
    if (!answer) return [{ picture: name, error }];
    const picture = { picture: name, width: answer.image.width, height: answer.image.height, faces: answer.faces.length };
    return answer.faces.length ? answer.faces.map((face, at) => ({ ...picture, face: at, ...cells(face) })) : [picture];
  });
  return [COLUMNS.join(","), ...lines.map((line) => COLUMNS.map((name) => (line[name] === undefined ? "" : cell(line[name]))).join(","))].join("\r\n");
}

function cells(face) {
  const row = { ...face.box, confidence: face.confidence, age: face.age, beauty: face.beauty, quality: face.quality?.overall, ...face.pose };
  if (face.age_range) Object.assign(row, { age_range_low: face.age_range.low, age_range_high: face.age_range.high });
  for (const name of ["gender", "hat"]) if (face[name]) Object.assign(row, { [name]: face[name].value, [`${name}_probability`]: face[name].probability });
  for (const name of ["emotion", "race"]) if (face[name]) Object.assign(row, { [name]: face[name].dominant, [`${name}_probability`]: face[name].probabilities[face[name].dominant] });
  for (const name of ["glasses", "mask"]) if (face[name]) Object.assign(row, { [name]: face[name].value, [`${name}_probability`]: face[name].probabilities[face[name].value] });
  if (face.liveness) Object.assign(row, { liveness: face.liveness.score, is_real: face.liveness.is_real });
  return row;
}
