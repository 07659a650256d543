import { SessionView } from "@valet/shared/protocol/session-view";
import { expect, test } from "vitest";
import { call, createSession, signIn } from "../../../test/api.ts";

test("a starting session is shown, and terminating it is idempotent", async () => {
  const token = await signIn();
  const session = `/api/sessions/${(await createSession(token)).id}`;
  const shown = SessionView.parse(await (await call("GET", session, { token })).json());
  expect(shown).toMatchObject({ status: "starting", agent: "starting", queueLength: 0, generation: 1 });
  for (const _ of [1, 2]) {
    const response = await call("POST", `${session}/terminate`, { token });
    expect(response.status).toBe(202);
    expect(SessionView.parse(await response.json()).status).toMatch(/^terminat/);
  }
  const late = await call("POST", `${session}/messages`, { token, body: { content: "x" } });
  expect(late.status).toBe(409);
  expect(await late.json()).toMatchObject({ type: "urn:valet:problem:session-ended" });
});

test("aborting without work, and waking an awake session, change nothing", async () => {
  const token = await signIn();
  const session = `/api/sessions/${(await createSession(token)).id}`;
  for (const action of ["abort", "wake"]) {
    const response = await call("POST", `${session}/${action}`, { token });
    expect(response.status).toBe(202);
    expect(SessionView.parse(await response.json()).status).toBe("starting");
  }
});

test("what the session's state does not allow is refused as a conflict", async () => {
  const token = await signIn();
  const session = `/api/sessions/${(await createSession(token)).id}`;
  await call("POST", `${session}/terminate`, { token });
  const response = await call("POST", `${session}/wake`, { token });
  expect(response.status).toBe(409);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
});

test("answers to unknown permission requests and questions are refused", async () => {
  const token = await signIn();
  const session = `/api/sessions/${(await createSession(token)).id}`;
  const reply = (body: object) => call("POST", `${session}/permissions/per_1`, { token, body });
  expect((await reply({ reply: "once" })).status).toBe(404);
  expect((await reply({ reply: "maybe" })).status).toBe(400);
  const answer = (body: object) => call("POST", `${session}/questions/que_1`, { token, body });
  for (const body of [{ answers: [["Hello"]] }, { answers: null }]) expect((await answer(body)).status).toBe(404);
  for (const body of [{}, { answers: "Hello" }]) expect((await answer(body)).status).toBe(400);
});
