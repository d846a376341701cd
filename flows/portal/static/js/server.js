// What the page asks the server, and the session that it needs for it.

/** Thrown for an answer that is no success; its message is the server's line. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function answer(response) {
  if (response.ok) return response.json();
  let text = `the portal answered ${response.status}`;
  try {
    text = (await response.json()).detail || text;
  } catch {
    // Not from the portal itself: the status has to do.
  }
  throw new Refused(response.status, text);
}

/** Address of the project that this page is of; empty for the portal's own page. */
export const BASE = (/^\/projects\/[0-9a-f]{12}/.exec(location.pathname) || [""])[0];

export async function ask(path) {
  return answer(await fetch(path, { credentials: "same-origin" }));
}

/** The same of this page's site or project. */
export const own = (path) => ask(BASE + path);

/** A change: JSON, with the header that other pages cannot send. */
export async function send(method, path, body, headers = {}) {
  return answer(await fetch(path, {
    method,
    credentials: "same-origin",
    headers: { "content-type": "application/json", "x-imperv": "1", ...headers },
    body: JSON.stringify(body),
  }));
}

/** Exchange the start token of the link, if it has one, for the cookie; the token leaves the address at once. */
export async function begin() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (token === null) return;
  fragment.delete("token");
  history.replaceState(null, "", fragment.size ? `#${fragment}` : location.pathname);
  await send("POST", "/api/session", { token });
}
