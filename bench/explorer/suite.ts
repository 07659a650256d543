import type { Browser, BrowserContextOptions } from "playwright-core";
import { signInUrl } from "../../packages/shared/src/protocol/page-sessions.ts";
import { launchBrowser } from "../../tests/explorer/browser.ts";
import { alternate } from "../lib/rounds.ts";
import type { Suite } from "../lib/suite.ts";
import { type Bound, compare, type Measurement, type Row, type Samples, type Table } from "../lib/table.ts";
import { startSurroundings } from "../session/surroundings.ts";
import type { Valet } from "../session/valet.ts";
import { serveEmptyPage } from "./empty-page.ts";
import { type Frames, framesWhile } from "./frames.ts";
import { browserBytes, heapBytes, openPage } from "./open-page.ts";
import { emptyScene, type Scene, scenesOf } from "./scenes.ts";
import { startStoredSystem } from "./stored-system.ts";

const OURS = "explorer";
const EMPTY = "empty page";
/** The empty page runs twice: what two equal ones differ by is the resolution. */
const EMPTY_AGAIN = "empty, once more";
const CONTENDERS = [OURS, EMPTY, EMPTY_AGAIN].map((name) => ({ name }));

const FULL = { amounts: { spans: 50_000, messages: 10_000, sessions: 300 }, rounds: 5, seconds: 3 };
const QUICK = { amounts: { spans: 5_000, messages: 1_000, sessions: 300 }, rounds: 1, seconds: 1 };
type Plan = typeof FULL;

const FIRST_ROWS: Bound = { of: "ours", atMost: 1_000 };
const SCRIPTS: Bound = { of: "ours", atMost: 200_000 };
/** 16.7 ms, and a tenth, to which the browser rounds its clock. */
const FRAME: Bound = { of: "ours", atMost: 16.8, needsTheirs: true };

interface Line {
  readonly measure: string;
  readonly unit: Measurement["unit"];
  readonly bound?: Bound;
}

const FRAME_LINES: Readonly<Record<keyof Frames, Line>> = {
  p50: { measure: "frame, half of them", unit: "ms" },
  p95: { measure: "frame, 95 of 100", unit: "ms", bound: FRAME },
  max: { measure: "frame, the longest", unit: "ms" },
  cpu: { measure: "CPU of the main thread, a frame", unit: "ms" },
};

type Browse = NonNullable<BrowserContextOptions["storageState"]>;

/** The session explorer with a large trace, a long conversation and many sessions, in a real browser. */
export const explorer: Suite = {
  name: "explorer",
  summary: "the page at 50,000 spans, 10,000 messages, 300 sessions: first rows, frames, memory, beside an empty page",

  async run({ quick, progress }) {
    if (process.platform !== "linux") throw new Error("the suite explorer reads /proc: it runs on Linux only");
    const plan = quick ? QUICK : FULL;
    const surroundings = await startSurroundings();
    const onSignal = () => process.exit(1);
    process.once("SIGTERM", onSignal).once("SIGINT", onSignal);
    const [empty, browser] = await Promise.all([serveEmptyPage(), launchBrowser()]);
    try {
      const system = await startStoredSystem(surroundings, plan.amounts);
      const state = await signedIn(browser, system.valet);
      const scenes = scenesOf(system);
      const figures = new Figures();
      for (const scene of scenes) {
        progress(`${scene.name}: ${plan.rounds} rounds`);
        await alternate(CONTENDERS, { rounds: plan.rounds, warmUp: 0 }, async ({ name }) => {
          const shown = name === OURS ? scene : emptyScene(empty.url, scene);
          return await look(browser, state, shown, plan, (line, value) => figures.add(line, name, value));
        });
      }
      return figures.tables();
    } finally {
      process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
      await browser.close();
      await empty.close();
      await surroundings.close();
    }
  },
};

/** Returns what a browser keeps of somebody who has signed in. */
async function signedIn(browser: Browser, { connection, api }: Valet): Promise<Browse> {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(signInUrl(connection.url, (await api.createPageTicket()).ticket));
  await page.waitForURL(({ pathname }) => pathname !== "/sign-in");
  const state = await context.storageState();
  await context.close();
  return state;
}

type Note = (line: Line & { readonly table: string }, value: number) => void;

/** Opens a page, makes its gestures, and closes it. @returns when its first rows were there, ms */
async function look(browser: Browser, state: Browse, scene: Scene, plan: Plan, note: Note): Promise<number> {
  const { page, firstRowsMs, paintScriptBytes, rowsScriptBytes } = await openPage(browser, scene.place, state);
  const table = "Until the first rows, and memory";
  note({ table, measure: `${scene.name}: first rows`, unit: "ms", bound: FIRST_ROWS }, firstRowsMs);
  note(
    { table, measure: `${scene.name}: scripts until the first paint`, unit: "bytes", bound: SCRIPTS },
    paintScriptBytes,
  );
  note({ table, measure: `${scene.name}: scripts until the first rows`, unit: "bytes" }, rowsScriptBytes);
  await page.waitForLoadState("networkidle");
  for (const [name, gesture] of Object.entries(scene.gestures)) {
    const frames = await framesWhile(page, gesture, plan.seconds);
    for (const [of, line] of Object.entries(FRAME_LINES)) {
      const measure = `${name}: ${line.measure}`;
      const { bound, ...unbound } = line;
      const shown = bound !== undefined && scene.hasFrameBound ? { ...unbound, bound } : unbound;
      note({ ...shown, table: "Frames while a hand turns the wheel", measure }, frames[of as keyof Frames]);
    }
  }
  note({ table, measure: `${scene.name}: JavaScript heap`, unit: "bytes" }, await heapBytes(page));
  note({ table, measure: `${scene.name}: memory of the browser`, unit: "bytes" }, await browserBytes(browser));
  await page.context().close();
  return firstRowsMs;
}

/** The values of each line by contender, in the order of the rounds. */
class Figures {
  readonly #lines = new Map<string, { readonly line: Line & { readonly table: string }; readonly samples: Samples }>();

  add(line: Line & { readonly table: string }, contender: string, value: number): void {
    const known = this.#lines.get(line.measure) ?? { line, samples: {} };
    const samples = { ...known.samples, [contender]: [...(known.samples[contender] ?? []), value] };
    this.#lines.set(line.measure, { line, samples });
  }

  tables(): readonly Table[] {
    const rows = [...this.#lines.values()].map(({ line, samples }) => ({
      title: line.table,
      row: rowOf(line, samples),
    }));
    return [...Map.groupBy(rows, ({ title }) => title)].map(([title, group]) => ({
      title,
      rows: group.flatMap(({ row }) => row),
    }));
  }
}

function rowOf({ measure, unit, bound }: Line, samples: Samples): Row[] {
  // A page without scripts has no ratio.
  const hasValues = samples[EMPTY]?.every((value) => value > 0);
  const measurement: Measurement = { name: measure, unit, samples, ...(hasValues && { equal: [EMPTY, EMPTY_AGAIN] }) };
  return compare(measurement, OURS, () => bound).filter(({ contender }) => contender === EMPTY);
}
