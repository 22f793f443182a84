// JSON as people read it: what fits into a line stays in one, and each kind of value has its colour.
import { element } from "./dom.js";

const WIDTH = 88;

export function coloured(value) {
  const made = document.createDocumentFragment();
  write(made, value, "");
  return made;
}

export const compact = (value) => {
  const holder = element("pre");
  holder.append(coloured(value));
  return holder.textContent;
};

function write(to, value, indent) {
  if (value === null || typeof value !== "object") return void to.append(element("span", JSON.stringify(value), { class: value === null ? "boolean" : typeof value }));
  const entries = Array.isArray(value) ? value.map((item) => [null, item]) : Object.entries(value);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (!entries.length) return void to.append(open + close);
  const flat = JSON.stringify(value).length + indent.length <= WIDTH || entries.every(([, item]) => typeof item === "number");
  const points = !flat && entries.every(([, item]) => Array.isArray(item) && item.length === 2);
  const inner = `${indent} `;
  to.append(open + (flat ? "" : `\n${inner}`));
  entries.forEach(([name, item], at) => {
    if (at) to.append(flat || (points && at % 6) ? ", " : `,\n${inner}`);
    if (name !== null) to.append(element("span", JSON.stringify(name), { class: "name" }), ": ");
    write(to, item, inner);
  });
  to.append((flat ? "" : `\n${indent}`) + close);
}
