import { beforeAll, expect, test } from "vitest";
import { bindings } from "../../test/bindings.ts";
import { countingDatabase } from "../../test/d1-rows.ts";
import { TURN } from "../../test/turn-record.ts";
import { migrate } from "./setup.ts";
import { addStepDurations, readStepDurations } from "./step-durations.ts";
import { upsertTurn } from "./turns.ts";

const { DB, MIGRATIONS } = bindings;
const BASH = { kind: "tool", name: "bash" } as const;
const MODEL = { kind: "model", name: "m" } as const;

beforeAll(() => migrate(DB, MIGRATIONS));

test("the last 200 durations of each tool and model are kept, newest first, for each owner", async () => {
  for (let turn = 0; turn < 15; turn++) {
    const ms = Array.from({ length: 20 }, (_, index) => turn * 100 + 19 - index);
    const durations = [
      { ...BASH, ms },
      { ...MODEL, ms: [turn] },
    ];
    await addStepDurations(DB, "own_a", `att_a${turn}`, durations).run();
  }
  await addStepDurations(DB, "own_b", "att_b", [{ ...BASH, ms: [7] }]).run();
  const [bash, model] = await readStepDurations(DB, "own_a", [BASH, MODEL, { kind: "tool", name: "none" }]);
  expect(bash?.samples).toHaveLength(200);
  expect(bash?.samples.slice(0, 3)).toEqual([1419, 1418, 1417]);
  expect(bash?.samples.at(-1)).toBe(500);
  expect(model?.samples).toEqual([14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
  expect(await readStepDurations(DB, "own_b", [BASH])).toEqual([{ ...BASH, samples: [7] }]);
});

test("a turn that is written again adds nothing, and one writes a row for each tool and model", async () => {
  const durations = [
    { ...BASH, ms: [1, 2] },
    { ...MODEL, ms: [3] },
  ];
  const write = () =>
    DB.batch([
      addStepDurations(DB, "own_c", "att_c", durations),
      upsertTurn(DB, "own_c", { ...TURN, attempt_id: "att_c" }),
    ]);
  const [first] = await write();
  await write();
  expect(first?.meta.rows_written).toBe(2);
  expect(await readStepDurations(DB, "own_c", [BASH])).toEqual([{ ...BASH, samples: [1, 2] }]);
});

test("the names of tools that a sandbox makes up are bounded, and known ones go on", async () => {
  for (let turn = 0; turn < 14; turn++) {
    const made = Array.from({ length: 40 }, (_, index) => ({
      kind: "tool" as const,
      name: `t${turn}_${index}`,
      ms: [1],
    }));
    await addStepDurations(DB, "own_d", `att_d${turn}`, made).run();
  }
  const { total } = (await DB.prepare(
    "SELECT COUNT(*) AS total FROM step_durations WHERE owner_id = 'own_d'",
  ).first()) as {
    total: number;
  };
  expect(total).toBeLessThan(540);
  await addStepDurations(DB, "own_d", "att_last", [
    { kind: "tool", name: "t0_0", ms: [2] },
    { kind: "tool", name: "new", ms: [2] },
  ]).run();
  const found = await readStepDurations(DB, "own_d", [
    { kind: "tool", name: "t0_0" },
    { kind: "tool", name: "new" },
  ]);
  expect(found).toEqual([{ kind: "tool", name: "t0_0", samples: [2, 1] }]);
});

test("a read costs a few rows, whatever the number of tools and owners", async () => {
  const { db, take } = countingDatabase(DB);
  await readStepDurations(db, "own_d", [
    { kind: "tool", name: "t0_0" },
    { kind: "tool", name: "t5_5" },
  ]);
  expect(take()).toBeLessThanOrEqual(8);
});
