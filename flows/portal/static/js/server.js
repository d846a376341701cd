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

export async function ask(path) {
  return answer(await fetch(path, { credentials: "same-origin" }));
}

/** Exchange the start token of the link, if it has one, for the cookie; the token leaves the address at once. */
export async function begin() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (token === null) return;
  fragment.delete("token");
  history.replaceState(null, "", fragment.size ? `#${fragment}` : location.pathname);
  await answer(await fetch("/api/session", {
    method: "POST",
    credentials: "same-origin",
    headers: { "content-type": "application/json", "x-imperv": "1" },
    body: JSON.stringify({ token }),
  }));
}
