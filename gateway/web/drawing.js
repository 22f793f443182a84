// Draws a picture and what was found in it, at the picture's own resolution.
const COLOURS = ["#ffb000", "#3fa7ff", "#ff5fa2", "#57d68d", "#c792ff", "#ff8552"];
export const colour = (index) => COLOURS[index % COLOURS.length];

export function draw(canvas, image, width, height, faces, wanted, active) {
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, width, height);
  const unit = Math.max(1, Math.max(width, height) / 700);
  faces.forEach((face, index) => {
    pen.strokeStyle = pen.fillStyle = colour(index);
    pen.lineWidth = unit * (index === active ? 4 : 2);
    const { x1, y1, x2, y2 } = face.box;
    if (wanted.has("box")) {
      pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
      label(pen, String(index + 1), x1, y1, unit);
    }
    if (wanted.has("keypoints")) Object.values(face.keypoints).forEach(([x, y]) => dot(pen, x, y, unit * 3));
    if (wanted.has("landmarks") && face.landmarks) face.landmarks.forEach(([x, y]) => dot(pen, x, y, Math.max(unit, (x2 - x1) / 130)));
    if (wanted.has("pupils") && face.pupils) {
      pen.strokeStyle = "#fff";
      pen.lineWidth = unit * 1.5;
      for (const pupil of Object.values(face.pupils)) {
        pen.beginPath();
        pen.arc(pupil.x, pupil.y, Math.max(1, pupil.radius), 0, 7);
        pen.stroke();
      }
    }
  });
}

function dot(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.fill();
}

function label(pen, text, x, y, unit) {
  const size = Math.round(15 * unit);
  pen.font = `600 ${size}px system-ui, sans-serif`;
  const width = pen.measureText(text).width + size * 0.6;
  const top = Math.max(0, y - size * 1.3);
  pen.fillRect(x, top, width, size * 1.3);
  pen.save();
  pen.fillStyle = "#10151b";
  pen.fillText(text, x + size * 0.3, top + size);
  pen.restore();
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
