import { runInDurableObject } from "cloudflare:test";
import { encodeTraces, type ReadableSpan, Tracer } from "@valet/shared/tracing";
import { expect, test } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { eventually } from "../../../test/eventually.ts";
import { boot, hibernate } from "../../../test/sandbox.ts";
import { TestSession } from "../../../test/session.ts";
import { composeSession } from "../compose.ts";

/** A span as a runner records it that has not been told yet whether to. */
function connectSpan(session: TestSession): string {
  const ended: ReadableSpan[] = [];
  const processor = { onStart: () => {}, onEnd: (span: ReadableSpan) => ended.push(span) };
  const attributes = { "valet.session.id": session.id };
  new Tracer({ scope: { name: "test" }, processor }).startSpan("valet.runner.connect", { attributes }).end();
  return encodeTraces({ "service.name": "valet-runner" }, ended);
}

test.each([
  ["true", 0],
  ["false", 1],
])("with OTEL_SDK_DISABLED=%s a runner's spans are acknowledged, and %i kept", async (disabled, kept) => {
  const { session, runner } = await TestSession.running();
  const frame = { type: "spans", instanceId: runner.instanceId, seq: 7, otlp: connectSpan(session) };
  await runInDurableObject(session.stub, (_object, ctx) => {
    const { link } = composeSession(ctx, { ...bindings, OTEL_SDK_DISABLED: disabled });
    for (const socket of ctx.getWebSockets("runner")) link.receive(socket, JSON.stringify(frame));
  });
  expect(await runner.next("spans-ack")).toMatchObject({ instanceId: runner.instanceId, seq: 7 });
  expect(await session.spans("valet.runner.connect")).toHaveLength(kept);
});

/** What a session's view warns of. */
const warningsOf = async (session: TestSession) => (await session.view()).warnings?.map(({ type }) => type) ?? [];

test("the view has all warnings of the generation's runners that Valet knows, until the next generation", async () => {
  const { session, runner } = await TestSession.running();
  expect(await session.view()).not.toHaveProperty("warnings");
  runner.send({ type: "warnings", warnings: ["git_submodule_failed", "of_a_later_version"] });
  await eventually(async () => expect(await warningsOf(session)).toEqual(["git_submodule_failed"]));
  expect((await session.view()).warnings?.[0]?.message).toContain("submodules could not be checked out");
  // A runner that was restarted does not see it again.
  const next = await (await session.connect("run_next")).hello({ ready: true });
  next.send({ type: "warnings", warnings: ["mcp_server_failed"] });
  const both = ["git_submodule_failed", "mcp_server_failed"];
  await eventually(async () => expect(await warningsOf(session)).toEqual(both));
  await session.evict();
  expect(await warningsOf(session)).toEqual(both);
  await hibernate(session, await (await session.connect("run_next")).hello({ ready: true }));
  expect(await warningsOf(session)).toEqual(both);
  await session.send("work");
  await session.reaches("restoring");
  await boot(session);
  expect(await warningsOf(session)).toEqual([]);
});

test("files that a snapshot lacks are told of as long as it is the session's last", async () => {
  const { session, runner } = await TestSession.running();
  await session.broker.script({ snapshot: [{ leftOut: 2 }, { leftOut: 0 }] });
  await hibernate(session, runner);
  expect((await session.view()).warnings).toMatchObject([{ type: "snapshot_incomplete", files: 2 }]);
  await session.send("work");
  await session.reaches("restoring");
  const next = await boot(session);
  expect(await warningsOf(session)).toEqual(["snapshot_incomplete"]);
  await next.end((await next.accept()).attemptId);
  await hibernate(session, next);
  expect(await warningsOf(session)).toEqual([]);
});
