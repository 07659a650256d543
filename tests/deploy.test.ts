// The steps of a deployment that need no account: wrangler bundles the Worker with the page and all its bindings, and applies the
// migrations to an empty database. It deploys the page that `valet up` has built.
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { buildPage, pageSources } from "../packages/cli/src/system/page-build.ts";

const WORKER = resolve(import.meta.dirname, "../packages/worker");
const scratch = mkdtempSync(join(tmpdir(), "valet-deploy-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true, maxRetries: 5 }));

async function wrangler(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(WORKER, "node_modules/wrangler/bin/wrangler.js"), ...args, "--config", "wrangler.jsonc"],
    { cwd: WORKER, env: { ...process.env, CI: "true", WRANGLER_SEND_METRICS: "false", WRANGLER_LOG_PATH: scratch } },
  );
  return stdout;
}

test("the Worker bundles as it would be deployed, with the page and every binding that its code uses", async () => {
  const { signal } = new AbortController();
  const page = await buildPage({ sources: pageSources(), fallback: join(scratch, "page"), env: process.env, signal });
  const output = await wrangler("deploy", "--dry-run", "--assets", page, "--outdir", join(scratch, "bundle"));
  for (const binding of ["SESSION_AGENT", "CAPACITY", "DB", "CHANGES_LIMIT", "SIGN_INS_LIMIT", "ASSETS"])
    expect(output).toContain(`env.${binding} `);
  expect(readdirSync(join(scratch, "bundle"))).toContain("index.js");
}, 120_000);

test("the migrations apply to an empty database, once", async () => {
  const apply = () => wrangler("d1", "migrations", "apply", "DB", "--local", "--persist-to", join(scratch, "state"));
  const first = await apply();
  for (const file of readdirSync(join(WORKER, "migrations"))) expect(first).toContain(file);
  expect(first).toMatch(/commands executed successfully/);
  expect(await apply()).toContain("No migrations to apply");
}, 120_000);
