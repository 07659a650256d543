/** The session of this browser: a cookie that scripts cannot read. */
import { setToken } from "./access.ts";
import { api, ok, retryAfterOf, send } from "./client.ts";
import { answerError, isSignedOut } from "./problem.ts";

const PATH = "/api/page-sessions";

/**
 * Uses up a one-time ticket for the cookie. A link that was used already is no error in a browser that is signed in: people open the
 * link of `valet up` again.
 * @throws ApiError if the ticket is unknown, used or expired, and the browser is not signed in
 */
export async function signInWithTicket(ticket: string): Promise<void> {
  try {
    await change("POST", PATH, { ticket });
  } catch (error) {
    if (!isSignedOut(error)) throw error;
    await checkAccess().catch(() => {
      throw error;
    });
  }
}

/**
 * Uses a pasted token, for as long as this page is open.
 * @throws ApiError if the token is not valid; then it is forgotten
 */
export async function signInWithToken(token: string): Promise<void> {
  setToken(token);
  try {
    await checkAccess();
  } catch (error) {
    setToken(undefined);
    throw error;
  }
}

/** Ends this browser's session, and forgets a pasted token. */
export async function signOut(): Promise<void> {
  try {
    await change("DELETE", `${PATH}/current`);
  } catch (error) {
    // Without a cookie, there is only the token to forget.
    if (!isSignedOut(error)) throw error;
  } finally {
    setToken(undefined);
  }
}

/** @throws ApiError if requests of this page are not authenticated */
async function checkAccess(): Promise<void> {
  await ok(api.GET("/api/sessions", { params: { query: { limit: 1 } } }));
}

async function change(method: string, path: string, body?: object): Promise<void> {
  const init = {
    method,
    ...(body !== undefined && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  };
  const response = await send(new Request(new URL(path, location.origin), init));
  if (!response.ok) {
    const body = await response.json().catch(() => undefined);
    throw answerError(response.status, body, retryAfterOf(response));
  }
}
