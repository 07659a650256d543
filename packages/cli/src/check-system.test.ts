import { PROVIDER_STATES, type SystemView } from "@valet/shared/protocol/system";
import { expect, test } from "vitest";
import { refusedFindings, systemFindings, uncheckedFindings } from "./check-system.ts";

const SYSTEM: SystemView = {
  model: { model: "valet/m", host: "models.test", state: "ok", status: 200 },
  broker: { host: "127.0.0.1:9", state: "ok", driver: "local", awake: 2, isDraining: false },
  capacity: { awake: 8, starting: 2 },
};
const findings = (more: { model?: object; broker?: object; capacity?: SystemView["capacity"] }) =>
  systemFindings({
    model: { ...SYSTEM.model, ...more.model },
    broker: { ...SYSTEM.broker, ...more.broker },
    capacity: more.capacity ?? SYSTEM.capacity,
  });

test("says what was checked and what could not be checked", () => {
  expect(findings({}).map(({ state, detail }) => [state, detail])).toEqual([
    ["ok", "models.test answers and has valet/m; no prompt was sent, since that may cost"],
    ["ok", "127.0.0.1:9 answers; driver local; 2 awake, at most 8, 2 starting at once"],
  ]);
  expect(uncheckedFindings("no Valet answers").map(({ state, detail }) => [state, detail])).toEqual([
    ["note", "not checked: no Valet answers"],
    ["note", "not checked: no Valet answers"],
  ]);
});

test.each([
  [500, "missing"],
  [503, "missing"],
  [401, "missing"],
  [403, "note"],
] as const)("a system that answers %i: what it holds is %s", (status, state) => {
  expect(refusedFindings({ status, message: "The server failed." })).toEqual(
    ["model's provider", "sandbox broker"].map((name) => ({ name, state, detail: "not checked: The server failed." })),
  );
});

test.each(PROVIDER_STATES)("a provider that is %s: what to do is said if something is missing", (state) => {
  const [finding] = findings({ model: { state, status: null } });
  if (finding?.state === "missing") expect(finding.detail).toMatch(/: (?:set|check|turns)/);
  else expect(finding?.detail).toMatch(/answers and has|not checked/);
});

test.each([
  [{ state: "unreachable" }, "missing", "does not answer"],
  [{ state: "not_a_broker" }, "missing", "SANDBOX_BROKER_URL"],
  [{ isDraining: true }, "missing", "drained"],
  [{ awake: 8 }, "note", "all places are taken"],
  [{ awake: null }, "ok", "is not known"],
])("a broker with %j is %s", (broker, state, text) => {
  expect(findings({ broker })[1]).toMatchObject({ state, detail: expect.stringContaining(text) });
});
