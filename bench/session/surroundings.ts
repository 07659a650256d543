/** The environment of the measured systems: a model that takes no time, a repository, and backends for their traces. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeDemoRepository } from "../../packages/cli/src/demo/demo-repository.ts";
import { loadScenario, startScriptedModel } from "../../packages/scripted-model/src/index.ts";
import { startOtlpReceiver } from "../../tests/otlp-receiver.ts";
import { modelVariables } from "../../tests/valet-up.ts";
import { BareOpenCode } from "./bare-opencode.ts";
import { Valet } from "./valet.ts";

const SCENARIO = fileURLToPath(new URL("one-line.yaml", import.meta.url));

export type Surroundings = Awaited<ReturnType<typeof startSurroundings>>;

export async function startSurroundings() {
  const closes: (() => Promise<unknown>)[] = [];
  const model = await startScriptedModel({ scenario: await loadScenario(SCENARIO) });
  closes.push(() => model.close());
  // A backend for each, to detect spans from a system with tracing off.
  const [backend, untracedBackend] = [await startOtlpReceiver(), await startOtlpReceiver()];
  closes.push(
    () => backend.close(),
    () => untracedBackend.close(),
  );
  const repository = await makeDemoRepository();
  const states = await mkdtemp(join(tmpdir(), "valet-bench-"));
  for (const folder of [repository.folder, states]) closes.push(() => rm(folder, { recursive: true, force: true }));
  let systems = 0;

  return {
    repoUrl: repository.url,
    backend,
    untracedBackend,

    /**
     * Starts a system. It is ended with the surroundings at the latest.
     * @param stateDir that of a system that has ended; a fresh one if omitted
     */
    async startValet(isTraced: boolean, stateDir = join(states, `${systems++}`)): Promise<Valet> {
      const valet = await Valet.start(stateDir, {
        ...modelVariables(model),
        OTEL_EXPORTER_OTLP_ENDPOINT: (isTraced ? backend : untracedBackend).url,
        OTEL_SDK_DISABLED: `${!isTraced}`,
      });
      closes.push(() => valet.stop());
      return valet;
    },

    /** Starts OpenCode alone, in a fresh clone of the repository. It is ended with the surroundings at the latest. */
    async startBareOpenCode(): Promise<BareOpenCode> {
      const bare = await BareOpenCode.start(join(states, `${systems++}`), repository.url, model.url);
      closes.push(() => bare.stop());
      return bare;
    },

    /** Ends everything, in reverse order of its start. */
    async close(): Promise<void> {
      for (const each of closes.reverse()) await each();
    },
  };
}
