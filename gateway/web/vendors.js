import { APIS } from "./calls.js";

export { APIS };

async function bodyOf(api, file, key) {
  if (api.json) return JSON.stringify({ [api.field]: await base64(file), ...(api.key_in_body && { [api.key]: key || "none" }) });
  const body = new FormData();
  body.append(api.field, file, file.name);
  if (api.key_in_body && key) body.append(api.key, key);
  return body;
}

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
  const headers = {};
  if (api.json) headers["Content-Type"] = "application/json";
  if (key && !api.key_in_body) headers[api.key] = key;
  const answer = await fetch(api.path + query, { method: "POST", body: await bodyOf(api, file, key), headers });
  return { ok: answer.ok, status: answer.status, json: await answer.json() };
}

// A program in which photo.jpg is the picture and KEY the caller's key.
export function program(name, language) {
  const api = APIS[name];
  const url = new URL(api.path, document.baseURI).href;
  const inBody = api.key_in_body ? { [api.key]: "KEY" } : {};
  const header = api.key_in_body ? undefined : api.key;
  if (language === "curl") {
    const given = header ? ` -H '${header}: KEY'` : "";
    if (api.json) {
      const more = Object.entries(inBody).map(([field, value]) => `, ${field}: "${value}"`).join("");
      return `base64 -w0 photo.jpg | jq -R '{${api.field}: .${more}}' | curl${given} --json @- ${url}`;
    }
    return `curl${given} -F ${api.field}=@photo.jpg${Object.entries(inBody).map(([field, value]) => ` -F ${field}=${value}`).join("")} ${url}`;
  }
  if (language === "Python") {
    const headers = header ? `headers={"${header}": "KEY"}, ` : "";
    const fields = Object.entries(inBody).map(([field, value]) => `"${field}": "${value}"`).join(", ");
    if (api.json) return `import base64, requests\n\nimage = base64.b64encode(open("photo.jpg", "rb").read()).decode()\nprint(requests.post("${url}", ${headers}json={"${api.field}": image${fields && `, ${fields}`}}, timeout=30).json())`;
    return `import requests\n\nprint(requests.post("${url}", ${headers}${fields && `data={${fields}}, `}files={"${api.field}": open("photo.jpg", "rb")}, timeout=30).json())`;
  }
  const headers = header ? `, headers: { "${header}": "KEY" }` : "";
  const fields = Object.entries(inBody).map(([field, value]) => `, ${field}: "${value}"`).join("");
  if (api.json) return `const answer = await fetch("${url}", { method: "POST"${headers}, body: JSON.stringify({ ${api.field}: base64${fields} }) });\nconsole.log(await answer.json());`;
  const appended = Object.entries(inBody).map(([field, value]) => `body.append("${field}", "${value}");\n`).join("");
  return `const body = new FormData();\nbody.append("${api.field}", file);\n${appended}const answer = await fetch("${url}", { method: "POST", body${headers} });\nconsole.log(await answer.json());`;
}
