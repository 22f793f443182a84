// One card a face: made once and then only changed, so that with a camera nothing flickers and what is unfolded stays so.
import { element } from "./dom.js";
import { axes, colour, crop } from "./drawing.js";
import { doubt, facts, headline, percent } from "./words.js";

const LISTS = [
  ["emotion", "Expression", (face) => face.emotion?.probabilities, 1, false],
  ["quality", "Quality", (face) => face.quality, 100, true],
  ["race", "Perceived group", (face) => face.race?.probabilities, 1, true],
];

export class Cards {
  constructor(place, onActive) {
    this.place = place;
    this.onActive = onActive;
  }

  clear() {
    this.place.replaceChildren();
    this.place.scrollTop = 0;
  }

  // `numbers` give each face its number and colour; without them it is its place.
  show(faces, image, numbers = faces.map((_, index) => index)) {
    while (this.place.children.length > faces.length) this.place.lastElementChild.remove();
    faces.forEach((face, index) => {
      const made = this.place.children[index] ?? this.place.appendChild(this.blank(index));
      fill(made, face, numbers[index], image);
    });
  }

  activate(index) {
    [...this.place.children].forEach((made, at) => made.classList.toggle("on", at === index));
  }

  blank(index) {
    const made = element("article", undefined, { class: "card", tabindex: 0 });
    const title = element("div", undefined, {}, element("h3"), element("p", "", { class: "headline" }));
    const rest = element("div", undefined, { class: "facts" });
    made.append(element("header", undefined, {}, element("canvas", undefined, { class: "crop", width: 144, height: 144, "aria-hidden": "true" }), title), element("p", "", { class: "doubt" }), rest);
    for (const [event, value] of [["mouseenter", index], ["focus", index], ["mouseleave", -1], ["blur", -1]]) made.addEventListener(event, () => this.onActive(value));
    return made;
  }
}

function fill(made, face, number, image) {
  const unsure = doubt(face);
  made.setAttribute("aria-label", `Face ${number + 1}`);
  made.style.borderTopColor = colour(number);
  made.classList.toggle("unsure", Boolean(unsure));
  crop(made.querySelector(".crop"), image, face.box);
  set(made.querySelector("h3"), `Face ${number + 1}`);
  set(made.querySelector(".headline"), headline(face));
  set(made.querySelector(".doubt"), unsure && `${unsure} What follows is a guess.`);
  const place = made.querySelector(".facts");
  const shape = [Boolean(unsure), ...facts(face).map(([name]) => name), ...LISTS.map(([, , values]) => Object.keys(values(face) ?? {}).length)].join();
  if (made.shape !== shape) {
    made.shape = shape;
    place.replaceChildren(...built(face, unsure));
  }
  const values = place.querySelectorAll("dd");
  facts(face).forEach(([, value], at) => set(values[at], value));
  for (const [name, , read, scale] of LISTS) fillBars(place.querySelector(`[data-list=${name}]`), read(face), scale);
  if (face.pose) place.querySelector(".pose")?.replaceChildren(axes(face.pose), element("p", "How the head is turned. Red: to the side, green: up, blue: out of the face."));
}

function built(face, unsure) {
  const list = element("dl");
  for (const [name] of facts(face)) list.append(element("dt", name), element("dd"));
  const made = [list];
  if (face.pose) made.push(element("div", undefined, { class: "pose" }));
  for (const [name, title, read, , folded] of LISTS) {
    if (!read(face)) continue;
    const bars = element("ul", undefined, { class: "bars", "aria-label": title, "data-list": name });
    made.push(...(folded ? [element("details", undefined, {}, element("summary", title), bars)] : [element("h4", title), bars]));
  }
  return unsure ? [element("details", undefined, {}, element("summary", "The guess"), ...made)] : made;
}

export function fillBars(list, values, scale) {
  if (!list || !values) return;
  const entries = Object.entries(values);
  if (list.children.length !== entries.length) {
    list.replaceChildren(...entries.map(([label]) => element("li", undefined, {}, element("span", label.replaceAll("_", " ")), element("meter", undefined, { min: 0, max: scale, "aria-label": label }), element("span"))));
  }
  entries.forEach(([, value], at) => {
    const [, meter, text] = list.children[at].children;
    meter.value = value;
    set(text, scale === 1 ? percent(value).replace(/^over /, "> ").replace(/^under /, "< ") : String(Math.round(value)));
  });
}

// Only what is new is written: text that stays must not be read out again.
function set(place, text) {
  if (place.textContent !== (text || "")) place.textContent = text || "";
}
