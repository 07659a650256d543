import { WhyView } from "@valet/shared/protocol/why";
import { expect, test } from "vitest";
import { call, createSession, signIn } from "../../../test/api.ts";

test("a message and a workflow have an answer; an unknown one, and another owner's, are not found", async () => {
  const token = await signIn();
  const session = `/api/sessions/${(await createSession(token)).id}`;
  const send = async (path: string, body: object) =>
    (await (await call("POST", `${session}${path}`, { token, body })).json()) as Record<string, string>;
  const { messageId, traceId } = await send("/messages", { content: "hello" });
  const { executionId } = await send("/workflows", { name: "check", steps: [{ name: "build", run: "make" }] });
  const paths = { message: `/messages/${messageId}/why`, workflow: `/workflows/${executionId}/why` };
  for (const [kind, path] of Object.entries(paths)) {
    const response = await call("GET", session + path, { token });
    expect(response.status).toBe(200);
    const view = WhyView.parse(await response.json());
    expect(view).toMatchObject({ kind, state: "queued", outcome: null, failure: null });
    expect(view.time.parts.reduce((sum, { ms }) => sum + ms, 0)).toBe(view.time.wall_ms);
    if (kind === "message") expect(view.traceId).toBe(traceId);
    expect((await call("GET", session + path, { token: await signIn() })).status).toBe(404);
  }
  for (const path of ["/messages/msg_0/why", `/messages/${executionId}/why`, `/workflows/${messageId}/why`]) {
    expect((await call("GET", session + path, { token })).status).toBe(404);
  }
});
