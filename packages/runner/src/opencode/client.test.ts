import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SpanContext } from "@valet/shared/tracing";
import { expect, onTestFinished, test } from "vitest";
import { OpenCodeClient } from "./client.ts";

const CONTEXT: SpanContext = {
  traceId: "a".repeat(32),
  spanId: "b".repeat(16),
  traceFlags: 1,
  traceState: "",
  isRemote: false,
};

/** An OpenCode whose only session was begun in a folder; without one it does not say where. */
function clientFor(begunIn: string | undefined, directory: string): OpenCodeClient {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ url }) => {
      if (!url.endsWith("/session/ses_1")) return new Response("{}", { status: 404 });
      return Response.json({ id: "ses_1", ...(begunIn !== undefined && { directory: begunIn }) });
    },
  });
  onTestFinished(() => void server.stop(true));
  return new OpenCodeClient({ url: `http://127.0.0.1:${server.port}`, password: "pw", directory });
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "valet-client-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test("a session counts where it was begun, whatever path leads there, and nowhere else", async () => {
  const [here, elsewhere] = [folder(), folder()];
  const link = join(elsewhere, "link");
  symlinkSync(here, link);
  const has = (begunIn: string | undefined, id = "ses_1") => clientFor(begunIn, here).hasSession(id, CONTEXT);
  expect(await has(here)).toBe(true);
  expect(await has(link)).toBe(true);
  expect(await has(undefined)).toBe(true);
  expect(await has(elsewhere)).toBe(false);
  // As after the state directory was moved.
  expect(await has(join(elsewhere, "gone"))).toBe(false);
  expect(await has(here, "ses_2")).toBe(false);
});
