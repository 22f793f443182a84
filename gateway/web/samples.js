// Samples. The portrait is NASA's of Eileen Collins, in the public domain; the others are made here, from it or from nothing.
const HEAD = { x: 118, y: 4, side: 216 };

const canvasOf = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

async function portrait() {
  return createImageBitmap(await (await fetch("web/sample.jpg")).blob());
}

const file = async (canvas, name) => new File([await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92))], name, { type: "image/jpeg" });

// The same head in many sizes, turns and lights, as a group would have them.
async function group() {
  const image = await portrait();
  const canvas = canvasOf(1200, 720);
  const pen = canvas.getContext("2d");
  ground(pen, "#c9d3dc", "#8fa0ae");
  const places = [[20, 70, 250], [270, 20, 210], [480, 80, 270], [750, 30, 220], [960, 80, 225], [60, 400, 180], [270, 380, 230], [520, 440, 150], [690, 380, 240], [960, 430, 130], [1100, 470, 72], [930, 600, 54]];
  places.forEach(([x, y, side], at) => {
    pen.save();
    pen.translate(x + side / 2, y + side / 2);
    pen.rotate((((at * 37) % 9) - 4) * 0.035);
    if (at % 2) pen.scale(-1, 1);
    pen.filter = `brightness(${0.8 + ((at * 5) % 7) * 0.06}) saturate(${0.6 + ((at * 3) % 5) * 0.15})`;
    pen.beginPath();
    pen.roundRect(-side / 2, -side / 2, side, side, side / 10);
    pen.clip();
    pen.drawImage(image, HEAD.x, HEAD.y, HEAD.side, HEAD.side, -side / 2, -side / 2, side, side);
    pen.restore();
  });
  return file(canvas, "group.jpg");
}

async function small() {
  const image = await portrait();
  const canvas = canvasOf(640, 427);
  const pen = canvas.getContext("2d");
  hills(pen);
  for (const [x, y, side] of [[90, 215, 140], [280, 250, 88], [430, 270, 56], [540, 280, 40]]) {
    pen.save();
    pen.beginPath();
    pen.arc(x + side / 2, y + side / 2, side / 2, 0, 7);
    pen.clip();
    pen.drawImage(image, HEAD.x, HEAD.y, HEAD.side, HEAD.side, x, y, side, side);
    pen.restore();
  }
  return file(canvas, "far-away.jpg");
}

async function landscape() {
  const canvas = canvasOf(900, 600);
  hills(canvas.getContext("2d"));
  return file(canvas, "no-face.jpg");
}

function ground(pen, from, to) {
  const shade = pen.createLinearGradient(0, 0, 0, pen.canvas.height);
  shade.addColorStop(0, from);
  shade.addColorStop(1, to);
  pen.fillStyle = shade;
  pen.fillRect(0, 0, pen.canvas.width, pen.canvas.height);
}

function hills(pen) {
  const { width, height } = pen.canvas;
  ground(pen, "#8ec5ee", "#f6ead0");
  pen.fillStyle = "#fff3c4";
  pen.beginPath();
  pen.arc(width * 0.78, height * 0.25, height * 0.09, 0, 7);
  pen.fill();
  ["#7fa58a", "#5b8a6b", "#3c6b50"].forEach((fill, layer) => {
    pen.fillStyle = fill;
    pen.beginPath();
    pen.moveTo(0, height);
    for (let x = 0; x < width + 6; x += 6) pen.lineTo(x, height * (0.55 + layer * 0.13) + Math.sin(x / (90 - layer * 22) + layer * 2) * height * 0.05);
    pen.lineTo(width, height);
    pen.fill();
  });
}

export const SAMPLES = [
  ["Portrait", async () => new File([await (await fetch("web/sample.jpg")).blob()], "portrait.jpg", { type: "image/jpeg" })],
  ["Group", group],
  ["Far away", small],
  ["No face", landscape],
];
