// Draws a picture and what was found in it, at the picture's own resolution.
import { headline } from "./words.js";

const COLOURS = ["#ffb000", "#3fa7ff", "#ff5fa2", "#57d68d", "#c792ff", "#ff8552"];
export const colour = (index) => COLOURS[index % COLOURS.length];
// Faces that are shown smaller than this, in pixels of the screen, would vanish under 105 points.
const LEAST_SHOWN_PX = 56;

export function draw(canvas, image, { width, height }, faces, { wanted, active = -1, numbers, mirrored = false }) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.save();
  if (mirrored) pen.setTransform(-1, 0, 0, 1, width, 0);
  pen.drawImage(image, 0, 0, width, height);
  pen.restore();
  const shown = (canvas.getBoundingClientRect().width || width) / width;
  const unit = Math.max(1, Math.max(width, height) / 700);
  faces.forEach((face, index) => {
    pen.strokeStyle = pen.fillStyle = colour(numbers?.[index] ?? index);
    pen.lineWidth = unit * (index === active ? 4 : 2);
    const { x1, y1, x2, y2 } = face.box;
    const side = x2 - x1;
    if (wanted.has("box")) {
      pen.beginPath();
      pen.roundRect(x1, y1, side, y2 - y1, side / 14);
      pen.stroke();
    }
    if (wanted.has("keypoints")) Object.values(face.keypoints).forEach(([x, y]) => dot(pen, x, y, Math.min(unit * 3, side / 24)));
    if (side * shown < LEAST_SHOWN_PX) return;
    if (wanted.has("landmarks") && face.landmarks) face.landmarks.forEach(([x, y]) => dot(pen, x, y, Math.min(side / 80, Math.max(side / 140, 1 / shown))));
    if (wanted.has("pupils") && face.pupils) {
      pen.strokeStyle = "#fff";
      pen.lineWidth = Math.min(unit * 1.5, side / 90);
      for (const pupil of Object.values(face.pupils)) {
        pen.beginPath();
        pen.arc(pupil.x, pupil.y, Math.max(1, pupil.radius), 0, 7);
        pen.stroke();
      }
    }
  });
  if (wanted.has("label")) faces.forEach((face, index) => label(pen, face, numbers?.[index] ?? index, unit, width, shown, index === active));
}

function dot(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.fill();
}

// The number always; words too where the face is large enough for them, or pointed at.
function label(pen, face, number, unit, width, shown, active) {
  const { x1, x2, y1 } = face.box;
  const size = Math.round(15 * unit);
  const text = active || (x2 - x1) * shown > 80 ? `${number + 1}  ${headline(face)}` : String(number + 1);
  pen.font = `600 ${size}px system-ui, sans-serif`;
  const wide = pen.measureText(text).width + size * 0.8;
  const left = Math.max(0, Math.min(x1, width - wide));
  const top = Math.max(0, y1 - size * 1.5);
  pen.fillStyle = colour(number);
  pen.beginPath();
  pen.roundRect(left, top, wide, size * 1.35, size * 0.25);
  pen.fill();
  pen.fillStyle = "#10151b";
  pen.fillText(text, left + size * 0.4, top + size * 1.02);
}

// A face and a little around it, square.
export function crop(canvas, image, { x1, y1, x2, y2 }) {
  const side = Math.max(x2 - x1, y2 - y1) * 1.35;
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, (x1 + x2 - side) / 2, (y1 + y2 - side) / 2, side, side, 0, 0, canvas.width, canvas.height);
}

const SVG = "http://www.w3.org/2000/svg";

// A head's three axes: to its side (red), up (green) and forward (blue), as the picture shows them.
export function axes({ yaw, pitch, roll }) {
  const [y, p, r] = [yaw, pitch, roll].map((degrees) => (degrees * Math.PI) / 180);
  const turn = ([a, b, c]) => {
    let [u, v, w] = [a, b * Math.cos(p) - c * Math.sin(p), b * Math.sin(p) + c * Math.cos(p)];
    [u, w] = [u * Math.cos(y) - w * Math.sin(y), u * Math.sin(y) + w * Math.cos(y)];
    return [u * Math.cos(r) - v * Math.sin(r), u * Math.sin(r) + v * Math.cos(r)];
  };
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "-50 -50 100 100");
  svg.setAttribute("class", "axes");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Head turned: yaw ${yaw}, pitch ${pitch}, roll ${roll} degrees`);
  const head = document.createElementNS(SVG, "ellipse");
  for (const [name, value] of Object.entries({ rx: 29, ry: 38, fill: "none", stroke: "currentColor", "stroke-width": 2, opacity: 0.35, transform: `rotate(${roll})` })) head.setAttribute(name, value);
  svg.append(head);
  for (const [axis, stroke] of [[[1, 0, 0], "#d64545"], [[0, -1, 0], "#2f9e5b"], [[0, 0, -1], "#3d7fd9"]]) {
    const [x2, y2] = turn(axis);
    const line = document.createElementNS(SVG, "line");
    for (const [name, value] of Object.entries({ x1: 0, y1: 0, x2: x2 * 42, y2: y2 * 42, stroke, "stroke-width": 6, "stroke-linecap": "round" })) line.setAttribute(name, value);
    svg.append(line);
  }
  return svg;
}
