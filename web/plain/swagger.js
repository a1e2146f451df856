/* The API page: reads /openapi.json of this node, shows every route and lets you try it. No other host, no library, no build. */
"use strict";
let api; // the description

function el(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) e.addEventListener(key.slice(2), value);
    else if (value !== false && value !== undefined) e.setAttribute(key, value === true ? "" : value);
  }
  e.append(...children.filter((c) => c !== undefined && c !== null));
  return e;
}

const form = document.getElementById("login");

/* ---- schemas as readable text ---- */

function resolve(schema) {
  while (schema && schema.$ref) schema = schema.$ref.split("/").slice(1).reduce((at, key) => at[key], api);
  return schema || {};
}

function merged(schema) {
  schema = resolve(schema);
  if (!schema.allOf) return schema;
  const all = { type: "object", properties: {}, required: [] };
  for (const part of schema.allOf.map(merged)) {
    Object.assign(all.properties, part.properties);
    all.required.push(...(part.required || []));
  }
  return all;
}

/* The shape: names (? = may be absent), types and choices, indented. */
function shape(schema, indent, depth) {
  schema = merged(schema);
  const inner = indent + "  ";
  if (depth > 5) return "...";
  if (schema.oneOf) return schema.oneOf.map((s) => shape(s, indent, depth + 1)).join("\n" + indent + "or ");
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" | ");
  if (schema.type === "array") return "[" + shape(schema.items, indent, depth + 1) + ", ...]";
  if (schema.type !== "object" || !schema.properties) return (schema.type || "any") + (schema.nullable ? " | null" : "");
  const lines = Object.entries(schema.properties).map(([key, value]) => {
    const note = resolve(value).description;
    return inner + JSON.stringify(key) + ((schema.required || []).includes(key) ? ": " : "?: ") + shape(value, inner, depth + 1) + (note ? "   // " + note : "");
  });
  return "{\n" + lines.join("\n") + "\n" + indent + "}" + (schema.nullable ? " | null" : "");
}

/* A body to start from: the required keys with empty values. */
function sample(schema) {
  const out = {};
  schema = merged(schema);
  const zero = { string: "", integer: 0, boolean: false, array: [], object: {} };
  for (const key of schema.required || []) out[key] = zero[merged(schema.properties[key]).type];
  return JSON.stringify(out, null, 1);
}

/* ---- trying a route ---- */

async function send(method, path, body) {
  const headers = {};
  if (form.token.value) headers.Authorization = "Bearer " + form.token.value;
  if (body) headers["Content-Type"] = "application/json";
  const started = performance.now();
  const answer = await fetch(path, { method, headers, body: body || undefined });
  const text = await answer.text();
  let data = null;
  try { data = JSON.parse(text); } catch { /* no JSON: shown as it is */ }
  return { ok: answer.ok, status: answer.status, ms: performance.now() - started, text, data };
}

function target(path, inputs) {
  const query = new URLSearchParams();
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") path = path.replace("{" + parameter.name + "}", encodeURIComponent(input.value));
    else if (input.value !== "") query.set(parameter.name, input.value);
  }
  return path + (query.size ? "?" + query : "");
}

async function attempt(event, method, path, inputs, area, output) {
  event.preventDefault();
  try {
    const r = await send(method, target(path, inputs), area && area.value.trim());
    output.textContent = `${r.status}  (${r.ms.toFixed(0)} ms)\n` + (r.data ? JSON.stringify(r.data, null, 2) : r.text.slice(0, 20000));
    output.className = r.ok ? "" : "fault";
  } catch (e) {
    output.textContent = String(e);
    output.className = "fault";
  }
  output.hidden = false;
}

function tryout(method, path, operation, bodySchema) {
  const inputs = (operation.parameters || []).map((parameter) => ({
    parameter, input: el("input", { name: parameter.name, required: parameter.required, "aria-label": parameter.name }),
  }));
  const area = bodySchema && el("textarea", { rows: 5, "aria-label": "body" });
  if (area) area.value = sample(bodySchema);
  const output = el("pre", { hidden: true });
  const rows = inputs.map(({ parameter: p, input }) => el("tr", {},
    el("td", { class: p.required && "need" }, p.name), el("td", {}, `${p.in}, ${resolve(p.schema).type}`), el("td", {}, input)));
  return el("form", { onsubmit: (e) => attempt(e, method, path, inputs, area, output) },
    rows.length ? el("table", {}, ...rows) : null, area, el("p", {}, el("button", {}, "Try it")), output);
}

/* ---- the page ---- */

function errors(responses) {
  const rows = [];
  for (const [status, response] of Object.entries(responses)) {
    if (status !== "200") rows.push(el("tr", {}, el("td", {}, status), el("td", {}, response.description || "")));
  }
  return el("table", {}, el("tr", {}, el("th", {}, "status"), el("th", {}, "errors")), ...rows);
}

function json(part) { return part && part.content && part.content["application/json"] && part.content["application/json"].schema; }

function route(method, path, operation) {
  const bodySchema = json(operation.requestBody), answer = json(operation.responses["200"]);
  const box = el("details", { id: operation.operationId || false }, el("summary", {},
    el("b", { class: "verb " + method }, method.toUpperCase()), el("code", {}, path), el("span", {}, operation.summary || ""),
    operation.security ? el("span", { class: "lock" }, "token") : null));
  box.addEventListener("toggle", () => {
    if (!box.open || box.filled) return;
    box.filled = true;
    box.append(el("div", { class: "body" }, operation.description ? el("p", {}, operation.description) : null,
      bodySchema ? el("h4", {}, "Request body") : null, bodySchema ? el("pre", {}, shape(bodySchema, "", 0)) : null,
      answer ? el("h4", {}, "Answer") : null, answer ? el("pre", {}, shape(answer, "", 0)) : null, errors(operation.responses),
      tryout(method.toUpperCase(), path, operation, bodySchema)));
  });
  return box;
}

function show() {
  const main = document.getElementById("routes"), groups = new Map();
  document.getElementById("version").textContent = api.info.version;
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = (operation.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(route(method, path, operation));
    }
  }
  main.replaceChildren(...[...groups].flatMap(([tag, boxes]) => [el("h2", {}, tag), ...boxes]));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const who = document.getElementById("who"), what = event.submitter ? event.submitter.value : "login";
  const body = JSON.stringify({ username: form.username.value, password: form.password.value });
  const token = form.token.value;
  form.token.value = "";
  const r = await send("POST", "/api/auth/" + what, body).catch((e) => ({ ok: false, text: String(e) }));
  const payload = r.data && (r.data.data || r.data);
  form.token.value = r.ok ? payload.access_token : token;
  who.textContent = r.ok ? `user ${payload.profile.user.id}` : (r.data && r.data.error) || r.text;
  who.className = r.ok ? "" : "fault";
});

fetch("/openapi.json").then((r) => r.json()).then((description) => {
  api = description;
  show();
}).catch((e) => { document.getElementById("routes").replaceChildren(el("p", { class: "fault" }, "No description: " + e)); });
