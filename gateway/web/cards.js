// One card a face. Text is set as text, never as markup.
import { axes, colour } from "./drawing.js";

const percent = (p) => `${Math.round(p * 100)} %`;

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function facts(face) {
  const rows = [["confidence", percent(face.confidence)]];
  if (face.age !== undefined) rows.push(["age", `${Math.round(face.age)} years (estimate)`]);
  if (face.gender) rows.push(["gender", `${face.gender.value}, ${percent(face.gender.probability)}`]);
  if (face.liveness) rows.push(["liveness", face.liveness.is_real ? `living face, ${percent(face.liveness.score)}` : `picture of a face, ${percent(1 - face.liveness.score)}`]);
  for (const name of ["glasses", "mask"]) if (face[name]) rows.push([name, `${face[name].value}, ${percent(face[name].probabilities[face[name].value])}`]);
  if (face.hat) rows.push(["hat", `${face.hat.value}, ${percent(face.hat.probability)}`]);
  if (face.pose) rows.push(["pose", `yaw ${face.pose.yaw}°, pitch ${face.pose.pitch}°, roll ${face.pose.roll}°`]);
  return rows;
}

function bars(values, scale, name) {
  const list = element("ul", undefined, { class: "bars", "aria-label": name });
  for (const [label, value] of Object.entries(values)) {
    const item = element("li");
    const meter = element("meter", undefined, { min: 0, max: scale, "aria-label": label });
    meter.value = value;
    item.append(element("span", label.replaceAll("_", " ")), meter, element("span", scale === 1 ? percent(value) : String(Math.round(value))));
    list.append(item);
  }
  return list;
}

function pose(angles) {
  const made = element("div", undefined, { class: "pose" });
  made.append(axes(angles), element("p", "How the head is turned. Red: to the side, green: up, blue: out of the face."));
  return made;
}

function folded(title, content) {
  const details = element("details");
  details.append(element("summary", title), content);
  return details;
}

export function card(face, index, onActive) {
  const made = element("article", undefined, { class: "card", tabindex: 0, "aria-label": `Face ${index + 1}` });
  const title = element("h3", `Face ${index + 1}`);
  title.style.borderLeft = `.5rem solid ${colour(index)}`;
  title.style.paddingLeft = ".5rem";
  const list = element("dl");
  for (const [name, value] of facts(face)) list.append(element("dt", name), element("dd", value));
  made.append(title, list);
  if (face.pose) made.append(pose(face.pose));
  if (face.emotion) made.append(element("h4", "Expression"), bars(face.emotion.probabilities, 1, "Expression"));
  if (face.quality) made.append(folded("Quality", bars(face.quality, 100, "Quality")));
  if (face.race) made.append(folded("Perceived group", bars(face.race.probabilities, 1, "Perceived group")));
  for (const [event, value] of [["mouseenter", index], ["focus", index], ["mouseleave", -1], ["blur", -1]]) made.addEventListener(event, () => onActive(value));
  return made;
}
