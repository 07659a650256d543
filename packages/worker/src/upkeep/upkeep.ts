/**
 * What nobody asks for and no session does by itself: the platform starts it every few minutes (`triggers` in wrangler.jsonc), and
 * `valet up` locally. Each run does a bounded amount of work and goes on where the one before ended.
 */
import { type Env, stubOf } from "../bindings.ts";
import { parseConfig, requireConfig } from "../config.ts";
import { nextEnded } from "../database/ended-sessions.ts";
import { fillRollups } from "../database/rollup-fill.ts";
import { logFailure } from "../log-failure.ts";

/** Steps of a run, each of which adds some hundred turns to the rollups in a few statements. */
const FILL_STEPS = 20;
/** Sessions that a page of the sweep asks at the same time, and pages of a run. */
const PAGE = 20;
const PAGES = 5;

/** Never rejects: what fails is logged, and the next run tries it again. */
export async function runUpkeep(env: Env, nowMs = Date.now()): Promise<void> {
  await Promise.all([
    attempt("turns could not be added to the rollups", () => fill(env)),
    attempt("the retention periods of terminated sessions could not be checked", () => sweep(env, nowMs)),
  ]);
}

async function fill({ DB }: Env): Promise<void> {
  for (let step = 0; step < FILL_STEPS; step++) if (!(await fillRollups(DB))) return;
}

/**
 * Has the sessions check their retention period whose end is that long ago. A session has a timer for that; but a period that was
 * shortened after its end, or that did not exist yet, is not in it.
 */
async function sweep(env: Env, nowMs: number): Promise<void> {
  // With any invalid variable no session could be asked.
  requireConfig(env);
  const until = new Date(nowMs - parseConfig(env).retentionMs).toISOString();
  for (let page = 0; page < PAGES; page++) {
    const ended = await nextEnded(env.DB, until, PAGE);
    await Promise.all(
      ended.map(({ id }) =>
        attempt("a session could not check its retention period", () => stubOf(env, id).checkRetention()),
      ),
    );
    if (ended.length < PAGE) return;
  }
}

async function attempt(whatFailed: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    logFailure(whatFailed, error);
  }
}
