import { expect, test } from "vitest";
import { sandboxContainer } from "./container-spec.ts";
import { engineLimits } from "./engine-limits.ts";

test("processors are limited by an engine that can do so; Docker refuses the container otherwise", () => {
  const machine = { memoryBytes: 2 ** 33, cpus: 4, diskBytes: 2 ** 34 };
  const nanoCpus = (CpuCfsQuota: boolean) =>
    sandboxContainer({
      ...{
        name: "n",
        image: "i",
        labels: {},
        volume: "v",
        network: "w",
        command: ["true"],
        env: {},
        isRestored: false,
      },
      limits: engineLimits({ MemoryLimit: true, PidsLimit: true, CpuCfsQuota }, { cpus: 1.5 }, machine, []).ofRunner,
    }).HostConfig?.NanoCpus;
  expect(nanoCpus(true)).toBe(1.5e9);
  expect(nanoCpus(false)).toBeUndefined();
});
