// A small chat page: enough to see the server work. Plain script, no build step. A gap in the pushes is closed by
// `sync`; a message is shown once because messages are kept by seq.
const $ = (id) => document.getElementById(id);
const store = sessionStorage;
const device = store.device ||= "web-page-" + Math.random().toString(36).slice(2, 10);
let login = JSON.parse(store.login || "null");
let socket, backoff = 500, open = 0, refreshing;
const chats = new Map(); // conversation id -> {brief, messages: Map(seq -> message), have}

// ---- HTTP ----
async function request(method, path, body, again = true) {
  const headers = { "X-Device-Id": device };
  if (login) headers.Authorization = "Bearer " + login.access_token;
  const r = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const answer = await r.json().catch(() => ({ error: r.statusText }));
  if (r.status === 401 && again && login && await refresh()) return request(method, path, body, false);
  if (!r.ok) throw Object.assign(new Error(answer.error), { status: r.status, code: answer.code });
  return answer;
}
function refresh() {
  refreshing ||= fetch("/api/auth/refresh", { method: "POST", body: JSON.stringify({ refresh_token: login.refresh_token }) })
    .then(async (r) => {
      if (r.ok) remember(await r.json());
      else if (r.status === 401 || r.status === 403) signOut();
      return r.ok;
    }).catch(() => false).finally(() => { refreshing = null; });
  return refreshing;
}
function remember(payload) { login = payload; store.login = JSON.stringify(payload); }
function signOut() { delete store.login; login = null; location.reload(); }

// ---- signing in ----
async function enter(path) {
  const form = $("login"), data = Object.fromEntries(new FormData(form));
  form.querySelector(".error").textContent = "";
  try {
    const answer = await request("POST", path, { ...data, device_id: device }, false);
    remember(answer.data || answer);
    start();
  } catch (e) { form.querySelector(".error").textContent = e.message; }
}
$("login").onsubmit = (e) => { e.preventDefault(); enter("/api/auth/login"); };
$("register").onclick = () => { if ($("login").reportValidity()) enter("/api/auth/register"); };
$("logout").onclick = () => request("POST", "/api/auth/logout", {}).catch(() => {}).then(signOut);

// ---- lists ----
function item(parent, title, note, badge, click) {
  const li = document.createElement("li"), div = document.createElement("div"), small = document.createElement("small");
  div.textContent = title;
  small.textContent = note;
  div.append(small);
  li.append(div);
  if (badge) { const b = document.createElement("span"); b.className = "badge"; b.textContent = badge; li.append(b); }
  li.onclick = click;
  parent.append(li);
  return li;
}
function preview(m) {
  if (!m) return "";
  if (m.status === "recalled") return "recalled";
  return m.body?.text?.text ?? m.content?.text?.text ?? "[" + Object.keys(m.body || m.content || {})[0] + "]";
}
function drawList() {
  $("list").replaceChildren();
  const all = [...chats.values()].sort((a, b) => b.brief.updated_at_ms - a.brief.updated_at_ms);
  for (const c of all) {
    const li = item($("list"), c.brief.title || "group", preview(c.brief.last_message), c.brief.unread, () => openChat(c.brief.id));
    li.classList.toggle("open", c.brief.id === open);
  }
}
async function loadChats() {
  let cursor = "";
  do {
    const page = await request("GET", "/api/conversations?limit=500&cursor=" + encodeURIComponent(cursor));
    for (const brief of page.data) chatOf(brief.id).brief = brief;
    cursor = page.next_cursor;
  } while (cursor);
  drawList();
}
function chatOf(id) {
  if (!chats.has(id)) chats.set(id, { brief: { id, title: "", unread: 0, updated_at_ms: 0 }, messages: new Map(), have: 0 });
  return chats.get(id);
}
async function loadRequests() {
  const { data } = await request("GET", "/api/contacts/requests");
  $("requests").replaceChildren();
  for (const r of data) item($("requests"), r.from.display_name + " wants to be a contact", r.message || "click to accept", 0, async () => {
    await request("POST", "/api/contacts/handle", { target_user_id: r.from.id, accept: true });
    loadRequests();
  });
}
$("find").onsubmit = (e) => e.preventDefault();
$("find").oninput = async () => {
  const q = $("find").q.value.trim();
  const found = q ? (await request("GET", "/api/users/search?q=" + encodeURIComponent(q))).data : [];
  $("found").replaceChildren();
  for (const u of found) {
    if (u.id === login.profile.user.id) continue;
    const li = item($("found"), u.display_name, "@" + u.username, 0, async () => {
      const { data } = await request("POST", "/api/conversations", { type: 1, member_ids: [u.id] });
      chatOf(data.id).brief = data;
      $("find").reset();
      $("found").replaceChildren();
      openChat(data.id);
    });
    const add = document.createElement("button");
    add.textContent = "+";
    add.title = "ask to become contacts";
    add.onclick = async (e) => {
      e.stopPropagation();
      add.textContent = await request("POST", "/api/contacts/apply", { target_user_id: u.id }).then((a) => a.data.status, (x) => x.message);
    };
    li.append(add);
  }
};

// ---- messages ----
function take(m) {
  const c = chatOf(m.conversation_id), seen = c.messages.has(m.seq);
  c.messages.set(m.seq, m);
  if (!seen && m.seq > (c.brief.latest_seq || 0)) {
    Object.assign(c.brief, { latest_seq: m.seq, last_message: m, updated_at_ms: m.created_at_ms });
    if (m.sender_id !== login.profile.user.id && (m.conversation_id !== open || document.hidden)) c.brief.unread++;
  }
}
function draw() {
  const box = $("messages"), c = chats.get(open), atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
  box.replaceChildren();
  for (const m of [...c.messages.values()].sort((a, b) => a.seq - b.seq)) {
    const li = document.createElement("li"), own = m.sender_id === login.profile.user.id;
    li.className = (own ? "own " : "") + (m.status === "recalled" ? "gone " : "") + (m.failed ? "failed" : "");
    li.textContent = m.status === "recalled" ? "message recalled" : preview(m);
    li.title = new Date(m.created_at_ms).toLocaleString();
    if (own && m.status === "normal") {
      const b = document.createElement("button");
      b.textContent = m.failed ? "send again" : "recall";
      b.onclick = () => m.failed ? send(m.text, m.client_msg_id) : recall(m, b);
      li.append(b);
    }
    box.append(li);
  }
  if (atEnd) box.scrollTop = box.scrollHeight;
}
async function openChat(id) {
  open = id;
  const c = chatOf(id);
  $("title").textContent = c.brief.title || "group";
  $("peer").textContent = "";
  for (const field of $("send").elements) field.disabled = false;
  const page = await request("GET", `/api/messages/history?conversation_id=${id}&limit=200`);
  for (const m of page.data) c.messages.set(m.seq, m);
  c.have = Math.max(c.have, page.latest_seq);
  draw();
  $("messages").scrollTop = $("messages").scrollHeight;
  markRead(c);
  if (c.brief.peer_id) {
    const { data: [p] } = await request("GET", "/api/presence?user_ids=" + c.brief.peer_id);
    if (open === id) $("peer").textContent = p.online ? "online" : p.last_seen_unix ? "last seen " + new Date(p.last_seen_unix * 1000).toLocaleString() : "";
  }
  $("send").text.focus();
}
function markRead(c) {
  if (c.brief.latest_seq) request("POST", "/api/messages/read", { conversation_id: c.brief.id, read_seq: c.brief.latest_seq }).catch(() => {});
  c.brief.unread = 0;
  drawList();
}
async function send(text, id) {
  const c = chats.get(open), key = -Date.now();
  const client_msg_id = id || crypto.getRandomValues(new Uint32Array(4)).join("-");
  for (const [seq, m] of c.messages) if (m.failed && m.client_msg_id === client_msg_id) c.messages.delete(seq);
  try {
    const { data } = await request("POST", "/api/messages", { conversation_id: c.brief.id, client_msg_id, text });
    take(data);
  } catch (e) {
    c.messages.set(1e15 - key, { seq: 1e15 - key, text, client_msg_id, failed: true, sender_id: login.profile.user.id,
      status: "normal", body: { text: { text: `${text}\n(${e.message})` } }, created_at_ms: Date.now(), conversation_id: open });
  }
  draw();
  drawList();
}
$("send").onsubmit = (e) => {
  e.preventDefault();
  const field = $("send").text, text = field.value;
  if (text) { field.value = ""; send(text); }
};
async function recall(m, button) {
  try {
    await request("POST", `/api/messages/${m.id || m.message_id}/revoke`, {});
    m.status = "recalled";
    draw();
  } catch (e) { button.textContent = e.message; }
}

// ---- the socket ----
function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/ws?device_id=${device}&token=${login.access_token}`);
  socket.onmessage = (e) => receive(JSON.parse(e.data));
  socket.onclose = async (e) => {
    $("state").textContent = e.code === 4002 ? "open in another window" : "connecting …";
    if (e.code === 4002) return;
    await new Promise((done) => setTimeout(done, backoff * (0.5 + Math.random())));
    backoff = Math.min(backoff * 2, 8000);
    if (!login) return;
    // a handshake that was refused for its token shows only as a close: ask by HTTP, which refreshes it
    await request("GET", "/api/users/me").catch(() => {});
    if (login) connect();
  };
}
const post = (type, data) => socket.readyState === 1 && socket.send(JSON.stringify({ type, data }));
function sync(ids) {
  const points = {};
  for (const id of ids) points[id] = chats.get(id).have;
  if (ids.length) post("sync", { sync_points: points, limit: 200 });
}
const handlers = {
  notify(d) {
    if (d.status === "connected") {
      backoff = 500;
      $("state").textContent = "";
      loadChats().then(() => sync([...chats.values()].filter((c) => c.have).map((c) => c.brief.id)));
      loadRequests();
    }
    if (d.status === "token_expiring") refresh().then((ok) => ok && post("auth", { token: login.access_token }));
  },
  new_message(m) {
    const c = chatOf(m.conversation_id);
    take(m);
    if (c.have && m.seq > c.have + 1 && !c.messages.has(m.seq - 1)) sync([m.conversation_id]);
    else c.have = Math.max(c.have, m.seq);
    post("ack", { conversation_id: m.conversation_id, message_id: m.message_id, seq: m.seq });
    if (!c.brief.title && c.brief.type !== 2) loadChats();
    if (m.conversation_id === open) { draw(); if (!document.hidden) markRead(c); }
    drawList();
  },
  resync(d) { sync([d.conversation_id]); },
  sync_resp(d) {
    for (const [id, messages] of Object.entries(d.messages)) {
      const c = chatOf(+id);
      for (const m of messages) { take(m); c.have = Math.max(c.have, m.seq); }
      if (d.has_more[id]) sync([+id]);
    }
    if (chats.has(open)) draw();
    drawList();
  },
  message_revoked(d) {
    const m = chats.get(d.conversation_id)?.messages.get(d.seq);
    if (m) m.status = "recalled";
    if (d.conversation_id === open) draw();
  },
  read_sync(d) { chatOf(d.conversation_id).brief.unread = d.unread; drawList(); },
  contact_request() { loadRequests(); },
  contact_update() { loadRequests(); },
  conversation_update() { loadChats(); },
};
handlers.message_resend = handlers.new_message;
function receive(frame) { handlers[frame.type]?.(frame.data || {}); }

function start() {
  $("login").hidden = true;
  $("login").style.display = "none";
  $("chat").hidden = false;
  $("me").textContent = login.profile.user.display_name || login.profile.user.username;
  connect();
}
document.onvisibilitychange = () => { if (!document.hidden && chats.has(open)) markRead(chats.get(open)); };
if (login) start();
