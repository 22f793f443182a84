// How each API is asked: path, form field or JSON, and where a key goes.
const form = (field) => (file) => {
  const body = new FormData();
  body.append(field, file, file.name);
  return { body };
};

export const APIS = {
  "Vultus": { path: "v1/analyze", field: "image", header: "X-API-Key", ask: form("image") },
  "ARSA": { path: "api/v1/face_analytics", field: "face_image", header: "x-key-secret", ask: form("face_image") },
  "MachineSense": {
    path: "faceapi/v1/face_age_detection",
    json: true,
    ask: async (file, key) => ({ body: JSON.stringify({ image: await base64(file), api_key: key || "none" }), type: "application/json" }),
  },
  "AILabTools": { path: "api/portrait/analysis/face-analyzer-advanced", field: "image", header: "ailabapi-api-key", ask: form("image") },
  "Scaleflex": { path: "images/face-analysis/upload/", field: "file", header: "Filerobot-Key", ask: form("file") },
  "Coqnitics": { path: "analyze", field: "filename", ask: form("filename") },
  "CompreFace": {
    path: "api/v1/detection/detect?face_plugins=age,gender,landmarks,mask,pose",
    field: "file",
    header: "x-api-key",
    ask: form("file"),
  },
};

async function base64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

// Whatever the answer is, it is JSON; a picture (redact) comes as a blob.
export async function redact(file, key, query) {
  const body = new FormData();
  body.append("image", file, file.name);
  const answer = await fetch(`v1/redact?${query}`, { method: "POST", body, headers: key ? { "X-API-Key": key } : {} });
  return answer.ok ? { ok: true, blob: await answer.blob() } : { ok: false, json: await answer.json() };
}

export async function ask(name, file, key, query = "") {
  const api = APIS[name];
  const { body, type } = await api.ask(file, key);
  const headers = {};
  if (type) headers["Content-Type"] = type;
  if (key && api.header) headers[api.header] = key;
  const answer = await fetch(api.path + query, { method: "POST", body, headers });
  return { ok: answer.ok, status: answer.status, json: await answer.json() };
}

export function program(name, language) {
  const api = APIS[name];
  const url = new URL(api.path, document.baseURI).href;
  if (language === "curl") {
    if (api.json) return `base64 -w0 photo.jpg | jq -R '{image: ., api_key: "KEY"}' | curl --json @- ${url}`;
    return `curl${api.header ? ` -H '${api.header}: KEY'` : ""} -F ${api.field}=@photo.jpg '${url}'`;
  }
  if (language === "Python") {
    if (api.json) return `import base64, requests\n\nimage = base64.b64encode(open("photo.jpg", "rb").read()).decode()\nprint(requests.post("${url}", json={"image": image, "api_key": "KEY"}, timeout=30).json())`;
    const headers = api.header ? `headers={"${api.header}": "KEY"}, ` : "";
    return `import requests\n\nprint(requests.post("${url}", ${headers}files={"${api.field}": open("photo.jpg", "rb")}, timeout=30).json())`;
  }
  if (api.json) return `const answer = await fetch("${url}", { method: "POST", body: JSON.stringify({ image: base64, api_key: "KEY" }) });\nconsole.log(await answer.json());`;
  const headers = api.header ? `, headers: { "${api.header}": "KEY" }` : "";
  return `const body = new FormData();\nbody.append("${api.field}", file);\nconst answer = await fetch("${url}", { method: "POST", body${headers} });\nconsole.log(await answer.json());`;
}
