// The page: what is chosen, what is asked, what is shown. `state.run` counts choices; answers to an earlier one are dropped.
import { choose, csv, fillTile, histograms, tile } from "./batch.js";
import { Camera } from "./camera.js";
import { Cards } from "./cards.js";
import { $, copy, element, save, say } from "./dom.js";
import { draw } from "./drawing.js";
import { coloured, compact } from "./json.js";
import { count, EMPTY, NO_FACE, problem, UNREACHED, WANTS_KEY } from "./messages.js";
import { SAMPLES } from "./samples.js";
import { APIS, ask, program, redact } from "./vendors.js";

const state = { run: 0, items: [], item: null, stopped: false, active: -1, hit: -1, api: "Vultus", shown: null };
const cards = new Cards($("cards"), activate);
const camera = new Camera({ ask: analysed, show: showFrame, stopped: cameraStopped });

// Where the result is below what is chosen, and not beside it.
const narrow = matchMedia("(max-width: 62rem)");

const ms = (value) => (value < 1 ? "under 1 ms" : `${Math.round(value)} ms`);
const wanted = () => new Set([...$("switches").querySelectorAll("input:checked")].map((box) => box.value));
const key = () => $("key").value;

function query(names = ["min_confidence", "min_face_px", "order", "max_faces"]) {
  const asked = new URLSearchParams();
  for (const name of names) {
    const field = $(name);
    const usual = field.tagName === "SELECT" ? field.options[0].value : field.defaultValue;
    if (field.value !== usual && field.checkValidity()) asked.set(name, field.value);
  }
  if ($("everything").checked && names.includes("order")) asked.set("attributes", "all");
  return asked;
}

// Asks /v1/analyze. The answer, or what to say; never an exception.
async function analysed(file) {
  if (!file.size) return { error: problem(EMPTY, file.name) };
  let answer;
  try {
    const asked = query().toString();
    answer = await ask("Vultus", file, key(), asked && `?${asked}`);
  } catch {
    return { error: UNREACHED };
  }
  if (answer.ok) return { answer: answer.json };
  if (WANTS_KEY.has(answer.json.code)) $("key-field").hidden = false;
  return { error: problem(answer.json, file.name) };
}

async function upright(file, { width, height }) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return element("canvas", undefined, { width, height }); // e.g. TIFF: the server reads it, this browser does not show it
  }
}

async function run(files) {
  files = [...files];
  if (!files.length) return;
  camera.stop();
  const turn = ++state.run;
  const many = files.length > 1;
  state.items = files.map((file) => ({ file, name: file.name || "picture", answer: null, error: "" }));
  state.item = null;
  $("batch").hidden = !many;
  $("stop").disabled = state.stopped = false;
  $("progress").value = 0;
  if (many) {
    for (const item of state.items) item.tile = tile(item, select);
    $("gallery").replaceChildren(...state.items.map((item) => item.tile));
  }
  say("Working…");
  for (const [index, item] of state.items.entries()) {
    if (state.stopped) break;
    const outcome = await analysed(item.file);
    if (turn !== state.run) return;
    Object.assign(item, outcome);
    if (many) await batchStep(item, index, turn);
    if (turn !== state.run) return;
    if (!state.item) await select(item);
  }
  if (turn === state.run && many) finish();
}

async function batchStep(item, index, turn) {
  const image = item.answer ? await upright(item.file, item.answer.image) : null;
  if (turn !== state.run) return;
  fillTile(item, image);
  image?.close?.();
  $("progress").value = (index + 1) / state.items.length;
  histograms(state.items);
}

function finish() {
  $("stop").disabled = true;
  const failed = state.items.filter((item) => item.error).length;
  const done = state.items.filter((item) => item.error || item.answer).length;
  say(`${done} pictures done, ${failed} failed.`);
}

// Shows one picture and what was found in it.
async function select(item) {
  if (!item.answer && !item.error) return;
  const turn = state.run;
  state.item = item;
  if (item.tile) choose(state.items, item);
  $("welcome").hidden = true;
  $("result").hidden = Boolean(item.error); // it would show an earlier picture
  if (narrow.matches) $("message").scrollIntoView();
  if (item.error) return say(item.error, true);
  const image = await upright(item.file, item.answer.image);
  if (turn !== state.run || state.item !== item) return;
  state.hidden = null;
  cards.clear();
  show({ image, answer: item.answer, faces: item.answer.faces });
  const { decode, inference, render } = item.answer.timings_ms;
  $("timings").textContent = `Reading the picture ${ms(decode)}, models ${ms(inference)}, writing the answer ${ms(render)}.`;
  say(item.answer.faces.length ? count(item.answer.faces.length) : NO_FACE);
  showAnswer("Vultus", item.answer);
  if ($("hide").value) await hide();
}

function show(shown) {
  state.shown = shown;
  state.active = -1;
  redraw();
  cards.show(shown.faces, shown.image, shown.numbers);
}

function redraw() {
  if (!state.shown) return;
  const { image, answer, faces, numbers, crops } = state.shown;
  draw($("canvas"), image, answer.image, faces, { wanted: wanted(), active: state.active, numbers, mirrored: Boolean(crops) });
}

function activate(index) {
  state.active = index;
  cards.activate(index);
  redraw();
}

// A frame of the camera, mirrored, its faces smoothed.
function showFrame(shown, rate) {
  $("welcome").hidden = true;
  $("result").hidden = false;
  state.shown = shown;
  redraw();
  cards.show(shown.faces, shown.crops, shown.numbers);
  $("timings").textContent = `${count(shown.faces.length)} ${rate.toFixed(1)} pictures a second.`;
  if (state.api === "Vultus") showBody(shown.answer);
}

async function startCamera() {
  state.run += 1;
  state.item = null;
  state.items = [];
  $("batch").hidden = true;
  if (!(await camera.start())) return;
  cards.clear();
  showAnswer("Vultus", {});
  document.body.classList.add("live");
  $("camera").textContent = "Stop the camera";
  $("camera").setAttribute("aria-pressed", "true");
  say("The camera is on. Each answer is a mean over the last frames.");
}

function cameraStopped(error) {
  document.body.classList.remove("live");
  $("camera").textContent = "Use the camera";
  $("camera").setAttribute("aria-pressed", "false");
  say(error || "The camera is off.", Boolean(error));
}

async function hide() {
  const item = state.item;
  if (!item?.answer) return;
  const method = $("hide").value;
  if (!method) return select(item);
  const asked = query(["min_confidence", "min_face_px"]);
  asked.set("method", method);
  try {
    const answer = await redact(item.file, key(), asked);
    if (item !== state.item || method !== $("hide").value) return;
    if (!answer.ok) return say(problem(answer.json, item.name), true);
    state.hidden = answer.blob;
    show({ ...state.shown, image: await createImageBitmap(answer.blob) });
  } catch {
    say(UNREACHED, true);
  }
}

function showBody(json) {
  $("body").replaceChildren(coloured(json));
  state.json = json;
}

function showAnswer(name, json) {
  state.api = name;
  for (const tab of $("tabs").children) {
    const chosen = tab.textContent === name;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
  }
  $("request").textContent = program(name, $("language").value);
  showBody(json);
}

async function chooseApi(name) {
  const item = state.item;
  if (!item?.answer) return state.shown && name === "Vultus" ? showAnswer(name, state.shown.answer) : undefined;
  if (name === "Vultus") return showAnswer(name, item.answer);
  try {
    const answer = await ask(name, item.file, key());
    if (item === state.item) showAnswer(name, answer.json);
  } catch {
    say(UNREACHED, true);
  }
}

async function showModels() {
  if ($("offered").children.length) return;
  try {
    const { attributes } = await (await fetch("v1/attributes")).json();
    $("offered").append(...attributes.map(({ name, measured, note }) => element("tr", undefined, {}, ...[name, measured, note].map((text) => element("td", text)))));
    $("models").scrollIntoView();
  } catch {
    say(UNREACHED, true);
  }
}

// A link to the folded table unfolds it.
function openModels() {
  if (location.hash === "#models") $("models").open = true;
}

function savePicture() {
  $("canvas").toBlob((blob) => save(blob, `${(state.item?.name ?? "camera").replace(/\.[^.]*$/, "")}-faces.png`, "image/png"));
}

function optionsSaid() {
  const [confidence, size] = [$("min_confidence"), $("min_face_px")];
  $("confidence-said").textContent = confidence.value === confidence.defaultValue ? "any" : `${Math.round(confidence.value * 100)} %`;
  $("size-said").textContent = size.value === size.defaultValue ? "any" : `${size.value} px`;
}

for (const name of Object.keys(APIS)) {
  const tab = element("button", name, { type: "button", role: "tab", "aria-controls": "panel", "aria-selected": name === "Vultus" });
  tab.addEventListener("click", () => chooseApi(name));
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
for (const [name, make] of SAMPLES) {
  const button = element("button", undefined, { type: "button", class: "sample" }, element("canvas", undefined, { width: 120, height: 90, "aria-hidden": "true" }), element("span", name));
  button.addEventListener("click", async () => run([await make()]));
  $("samples").append(element("li", undefined, {}, button));
  make().then(createImageBitmap).then((image) => {
    const scale = Math.max(120 / image.width, 90 / image.height);
    button.firstElementChild.getContext("2d").drawImage(image, (120 - image.width * scale) / 2, Math.min(0, (90 - image.height * scale) / 5), image.width * scale, image.height * scale);
  });
}
$("files").addEventListener("change", (event) => {
  run(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
$("camera").addEventListener("click", () => (camera.on ? camera.stop() : startCamera()));
$("switches").addEventListener("change", redraw);
$("hide").addEventListener("change", hide);
$("save").addEventListener("click", savePicture);
$("options").addEventListener("input", optionsSaid);
$("options").addEventListener("change", () => state.items.length && run(state.items.map(({ file }) => file)));
$("options").addEventListener("submit", (event) => event.preventDefault());
$("key").addEventListener("change", () => state.items.length && run(state.items.map(({ file }) => file)));
$("language").addEventListener("change", () => ($("request").textContent = program(state.api, $("language").value)));
$("copy").addEventListener("click", () => copy($("request").textContent, $("request")));
$("copy-json").addEventListener("click", () => copy($("body").textContent, $("body")));
$("save-json").addEventListener("click", () => save(compact(state.json), "vultus.json", "application/json"));
$("models").addEventListener("toggle", showModels);
$("more").open = !narrow.matches;
window.addEventListener("hashchange", openModels);
window.addEventListener("resize", redraw);
$("stop").addEventListener("click", () => (state.stopped = true));
$("csv").addEventListener("click", () => save(csv(state.items.filter(({ answer, error }) => answer || error)), "vultus.csv", "text/csv"));
$("json").addEventListener("click", () => save(JSON.stringify(state.items.map(({ name, answer, error }) => ({ picture: name, answer, error })), null, 1), "vultus.json", "application/json"));
document.addEventListener("paste", (event) => run(event.clipboardData.files));
for (const [event, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  // The whole window, or a browser opens what is dropped beside the box.
  window.addEventListener(event, (e) => {
    e.preventDefault();
    document.body.classList.toggle("over", over);
    if (event === "drop") run(e.dataTransfer.files);
  });
}
$("canvas").addEventListener("mousemove", (event) => {
  if (!state.shown || camera.on) return;
  const edge = $("canvas").getBoundingClientRect();
  const { width, height } = state.shown.answer.image;
  const scale = Math.min(edge.width / width, edge.height / height);
  const x = (event.clientX - edge.left - (edge.width - width * scale) / 2) / scale;
  const y = (event.clientY - edge.top - (edge.height - height * scale) / 2) / scale;
  const hit = state.shown.faces.findIndex(({ box }) => x >= box.x1 && x <= box.x2 && y >= box.y1 && y <= box.y2);
  if (hit === state.active) return;
  activate(hit);
  $("cards").children[hit]?.scrollIntoView({ block: "nearest" });
});
openModels();
