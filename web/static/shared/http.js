// Requests to the server, with failures as sentences for the user.

const NO_ANSWER = "The server does not answer. Check that it is running and that this computer can reach it, then try again.";

/** A failure whose message is a sentence for the user; `status` is the server's HTTP status, where it answered. */
export class UserError extends Error {}

/** Fetch, or throw UserError with the sentence that the server gives. */
export async function ask(url, request) {
  const response = await fetch(url, request).catch(() => {
    throw new UserError(NO_ANSWER);
  });
  if (response.ok) return response;
  const { detail } = await response.json().catch(() => ({}));
  throw Object.assign(new UserError(detail ?? `The server answers with HTTP status ${response.status}.`), { status: response.status });
}

/** Fetch JSON; throws as `ask` does. */
export async function askJson(url, request) {
  return (await ask(url, request)).json();
}

/** Make a request with a JSON body. */
export function json(method, content) {
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) };
}

/** Offer `pc` to an endpoint. Returns the path of what it made (relative: it may be below a prefix), and accept(), which takes the answer. */
export async function offer(pc, url, headers = {}) {
  await pc.setLocalDescription();
  const response = await ask(url, { method: "POST", headers: { ...headers, "Content-Type": "application/sdp" }, body: pc.localDescription.sdp });
  const accept = async () => pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
  return { path: response.headers.get("Location").slice(1), accept };
}
