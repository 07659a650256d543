import { runInDurableObject } from "cloudflare:test";
import { encodeTraces, type ReadableSpan, Tracer } from "@valet/shared/tracing";
import { expect, test } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { TestSession } from "../../../test/session.ts";
import { composeSession } from "../compose.ts";

/** A span as a runner records it that has not been told yet whether to. */
function connectSpan(session: TestSession): string {
  const ended: ReadableSpan[] = [];
  const sink = { onStart: () => {}, onEnd: (span: ReadableSpan) => ended.push(span) };
  const attributes = { "valet.session.id": session.id };
  new Tracer({ scope: { name: "test" }, sink }).startSpan("valet.runner.connect", { attributes }).end();
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
