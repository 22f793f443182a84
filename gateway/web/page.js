import { card } from "./cards.js";
import { draw } from "./drawing.js";
import { APIS, ask, program } from "./vendors.js";

const $ = (id) => document.getElementById(id);
const state = { file: null, image: null, answer: null, active: -1, api: "Vultus", batch: [], stopped: false, camera: null };

// What is wrong with a file: the sentence begins with its name.
const FILE = {
  body_too_large: "is a larger file than this server takes. Save it smaller, and try again.",
  image_too_large: "has more pixels than this server takes. Scale it down, and try again.",
  image_too_small: "is too small to show a face.",
  unrecognised_image: "is not a picture that this server can read. JPEG and PNG always work.",
  unsupported_image: "is a kind of picture that this server does not take. JPEG and PNG always work.",
  undecodable_image: "is damaged or incomplete: the server cannot read it.",
  image_too_complex: "takes this server too long to read. Save it anew, and try again.",
  empty_image: "has nothing in it.",
};
const SERVER = {
  key_missing: "This server wants a key: enter it in the field Key. Whoever runs the server issues keys.",
  key_invalid: "The server does not know this key. Check the field Key.",
  rate_limited: "That was too many pictures in too short a time for this key. Wait a moment, and try again.",
  quota_exceeded: "The calls of this key are used up for this month.",
  upstream_unavailable: "The models are not ready yet. Try again in a moment.",
  upstream_overloaded: "The server is busy. Try again in a moment.",
  overloaded: "The server is busy. Try again in a moment.",
  upload_too_slow: "Sending the picture took too long. Try again, or a smaller picture.",
  upstream_timeout: "The server was too slow. Try again, or a smaller picture.",
};

const UNREACHED = "The server cannot be reached. Is it still running?";
const CAMERA = "The camera cannot be used. Allow it in the browser; browsers offer it only on https:// pages and on the machine itself.";

function say(text, bad = false) {
  $("message").textContent = text;
  $("message").classList.toggle("bad", bad);
}

const problem = (json, name) => (FILE[json.code] ? `${name} ${FILE[json.code]}` : SERVER[json.code] || json.title || "The server could not answer.");
const ms = (value) => (value < 1 ? "under 1 ms" : `${Math.round(value)} ms`);
const faces = () => state.answer?.faces ?? [];
const wanted = () => new Set([...$("switches").querySelectorAll("input:checked")].map((box) => box.value));
const count = (n) => (n === 0 ? "No face found." : n === 1 ? "1 face found." : `${n} faces found.`);

function redraw() {
  if (!state.image || !state.answer) return;
  const { width, height } = state.answer.image;
  draw($("canvas"), state.image, width, height, faces(), wanted(), state.active);
}

function activate(index) {
  state.active = index;
  [...$("cards").children].forEach((made, at) => made.classList.toggle("on", at === index));
  redraw();
}

async function upright(file) {
  return createImageBitmap(file, { imageOrientation: "from-image" });
}

async function analyse(file) {
  say("Working…");
  state.file = file;
  let answer;
  try {
    answer = await ask("Vultus", file, $("key").value);
  } catch {
    say(UNREACHED, true);
    return null;
  }
  if (!answer.ok) {
    say(problem(answer.json, file.name), true);
    return answer;
  }
  state.answer = answer.json;
  try {
    state.image = await upright(file);
  } catch {
    state.image = blank(answer.json.image); // e.g. TIFF: the server reads it, this browser does not show it
  }
  show();
  return answer;
}

function blank({ width, height }) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

function show() {
  $("result").hidden = false;
  state.active = -1;
  redraw();
  $("cards").replaceChildren(...faces().map((face, index) => card(face, index, activate)));
  const { decode, inference, render } = state.answer.timings_ms;
  $("timings").textContent = `Reading the picture ${ms(decode)}, models ${ms(inference)}, writing the answer ${ms(render)}.`;
  say(faces().length ? count(faces().length) : "No face found. Small, covered and turned-away faces can be missed.");
  showAnswer("Vultus", { json: state.answer });
}

function showAnswer(name, answer) {
  state.api = name;
  for (const tab of $("tabs").children) {
    const chosen = tab.textContent === name;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
  }
  $("request").textContent = program(name, $("language").value);
  $("body").textContent = JSON.stringify(answer.json, null, 1);
}

async function choose(name) {
  if (!state.file) return;
  if (name === "Vultus") return showAnswer(name, { json: state.answer });
  try {
    showAnswer(name, await ask(name, state.file, $("key").value));
  } catch {
    say(UNREACHED, true);
  }
}

async function run(files) {
  stopCamera();
  const pictures = [...files].filter((file) => file.size);
  if (!pictures.length) return void (files.length && say(`${files[0].name} ${FILE.empty_image}`, true));
  $("batch").hidden = pictures.length === 1;
  if (pictures.length === 1) {
    const answer = await analyse(pictures[0]);
    if (!answer?.ok) $("result").hidden = true; // it shows an earlier picture
    return;
  }
  state.batch = [];
  state.stopped = $("stop").disabled = false;
  $("rows").replaceChildren();
  for (const [index, file] of pictures.entries()) {
    if (state.stopped) break;
    const answer = await analyse(file);
    const row = { picture: file.name, answer: answer?.ok ? answer.json : null, error: answer?.ok ? "" : answer ? problem(answer.json, "This file") : UNREACHED };
    state.batch.push(row);
    $("rows").append(tableRow(row));
    $("progress").value = (index + 1) / pictures.length;
  }
  $("stop").disabled = true;
  const failed = state.batch.filter((row) => row.error).length;
  say(`${state.batch.length} pictures done, ${failed} failed.`);
}

const summary = (face) => [face.age !== undefined ? Math.round(face.age) : "", face.gender?.value ?? "", face.emotion?.dominant ?? ""].filter(String).join(" ");

function tableLine(cells) {
  const line = document.createElement("tr");
  line.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  return line;
}

const tableRow = ({ picture, answer, error }) => tableLine([picture, answer ? answer.faces.length : "", answer ? answer.faces.map(summary).join("; ") : error]);

// A cell that begins like a formula is quoted, because spreadsheets run formulas.
const cell = (value) => `"${String(value).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;

function csv() {
  const names = ["picture", "face", "x1", "y1", "x2", "y2", "confidence", "age", "gender", "emotion", "liveness", "glasses", "mask", "hat", "error"];
  const lines = state.batch.flatMap(({ picture, answer, error }) =>
    answer?.faces.length
      ? answer.faces.map((f, i) => [picture, i, f.box.x1, f.box.y1, f.box.x2, f.box.y2, f.confidence, f.age ?? "", f.gender?.value ?? "", f.emotion?.dominant ?? "", f.liveness?.score ?? "", f.glasses?.value ?? "", f.mask?.value ?? "", f.hat?.value ?? "", ""])
      : [[picture, "", "", "", "", "", "", "", "", "", "", "", "", "", error || "no face"]],
  );
  return [names, ...lines].map((line) => line.map((v) => (typeof v === "number" ? v : cell(v))).join(",")).join("\r\n");
}

function save(text, name, type) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

async function startCamera() {
  try {
    state.camera = await navigator.mediaDevices.getUserMedia({ video: { width: 640 }, audio: false });
  } catch {
    say(CAMERA, true);
    return;
  }
  $("camera").setAttribute("aria-pressed", "true");
  const video = $("video");
  video.srcObject = state.camera;
  await video.play();
  const frame = document.createElement("canvas");
  let rate = 0;
  while (state.camera) {
    const started = performance.now();
    frame.width = video.videoWidth;
    frame.height = video.videoHeight;
    frame.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((done) => frame.toBlob(done, "image/jpeg", 0.85));
    const answer = await analyse(new File([blob], "camera.jpg", { type: "image/jpeg" }));
    if (!answer?.ok) break;
    rate = 0.8 * rate + 0.2 * (1000 / (performance.now() - started));
    if (state.camera) say(`${count(faces().length)} ${rate.toFixed(1)} pictures a second.`);
  }
  stopCamera();
}

function stopCamera() {
  state.camera?.getTracks().forEach((track) => track.stop());
  state.camera = null;
  $("camera").setAttribute("aria-pressed", "false");
}

async function showModels() {
  if ($("offered").children.length) return;
  let attributes;
  try {
    ({ attributes } = await (await fetch("v1/attributes")).json());
  } catch {
    say(UNREACHED, true);
    return;
  }
  $("offered").append(...attributes.map(({ name, measured, note }) => tableLine([name, measured, note])));
  $("models").scrollIntoView();
}

// A link to the folded table unfolds it.
function openModels() {
  if (location.hash === "#models") $("models").open = true;
}

for (const name of Object.keys(APIS)) {
  const tab = Object.assign(document.createElement("button"), { type: "button", textContent: name });
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", "panel");
  tab.setAttribute("aria-selected", name === "Vultus");
  tab.addEventListener("click", () => choose(name));
  $("tabs").append(tab);
}
$("tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const tabs = [...$("tabs").children];
  const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
  next.focus();
  next.click();
});
$("files").addEventListener("change", (event) => run(event.target.files));
$("sample").addEventListener("click", async () => {
  const answer = await fetch("web/sample.jpg");
  run([new File([await answer.blob()], "sample.jpg", { type: "image/jpeg" })]);
});
$("camera").addEventListener("click", () => (state.camera ? stopCamera() : startCamera()));
$("switches").addEventListener("change", redraw);
$("language").addEventListener("change", () => ($("request").textContent = program(state.api, $("language").value)));
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("request").textContent);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren($("request"));
    say("This browser does not let the page copy. The request is selected: copy it with the keyboard.");
  }
});
$("models").addEventListener("toggle", showModels);
window.addEventListener("hashchange", openModels);
$("stop").addEventListener("click", () => (state.stopped = true));
$("csv").addEventListener("click", () => save(csv(), "vultus.csv", "text/csv"));
$("json").addEventListener("click", () => save(JSON.stringify(state.batch, null, 1), "vultus.json", "application/json"));
document.addEventListener("paste", (event) => run(event.clipboardData.files));
for (const [event, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  $("drop").addEventListener(event, (e) => {
    e.preventDefault();
    $("drop").classList.toggle("over", over);
    if (event === "drop") run(e.dataTransfer.files);
  });
}
$("canvas").addEventListener("mousemove", (event) => {
  if (!state.answer || state.camera) return;
  const edge = $("canvas").getBoundingClientRect();
  const { width, height } = state.answer.image;
  const scale = Math.min(edge.width / width, edge.height / height);
  const x = (event.clientX - edge.left - (edge.width - width * scale) / 2) / scale;
  const y = (event.clientY - edge.top - (edge.height - height * scale) / 2) / scale;
  const hit = faces().findIndex(({ box }) => x >= box.x1 && x <= box.x2 && y >= box.y1 && y <= box.y2);
  if (hit !== state.active) activate(hit);
});
openModels();
