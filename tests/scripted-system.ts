/** A whole system for the tests of one file: a scripted model, and `valet up` with a state directory of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ApiClient } from "../packages/cli/src/api-client.ts";
import { waitFor } from "../packages/cli/src/wait.ts";
import { type Scenario, type ScriptedModel, startScriptedModel } from "../packages/scripted-model/src/index.ts";
import { ValetProcess } from "./soak/valet-process.ts";
import { modelVariables } from "./valet-up.ts";

export class ScriptedSystem {
  readonly model: ScriptedModel;
  readonly stateDir: string;
  readonly #variables: Readonly<Record<string, string>>;
  readonly #args: readonly string[];
  #valet: ValetProcess | undefined;

  private constructor(model: ScriptedModel, variables: Readonly<Record<string, string>>, args: readonly string[]) {
    this.model = model;
    this.stateDir = mkdtempSync(join(tmpdir(), "valet-system-"));
    this.#variables = { ...modelVariables(model), ...variables };
    this.#args = args;
  }

  /**
   * Starts the system.
   * @param variables for `valet up`, beside those of this process
   * @param args for `valet up`
   */
  static async start(
    scenario: Scenario,
    variables: Readonly<Record<string, string>> = {},
    args: readonly string[] = [],
  ): Promise<ScriptedSystem> {
    const system = new ScriptedSystem(await startScriptedModel({ scenario }), variables, args);
    await system.startAgain();
    return system;
  }

  /** Starts `valet up` on the same state, after {@link ValetProcess.stop} or {@link ValetProcess.crash}. */
  async startAgain(): Promise<void> {
    this.#valet = await ValetProcess.start(this.stateDir, this.#variables, this.#args);
  }

  get valet(): ValetProcess {
    if (this.#valet === undefined) throw new Error("`valet up` has not started");
    return this.#valet;
  }

  get api(): ApiClient {
    return this.valet.api;
  }

  /** Sends a message, and returns it when it is done. @throws Error when that takes longer than `timeoutMs` */
  async say(sessionId: string, content: string, timeoutMs: number) {
    const id = crypto.randomUUID();
    await this.api.sendMessage(sessionId, { content, id });
    const read = async () => (await this.api.messages(sessionId)).find((each) => each.id === id);
    const message = await waitFor(content, read, (each) => each?.status === "done", timeoutMs);
    if (message === undefined) throw new Error("no message");
    return message;
  }

  async close(): Promise<void> {
    await this.#valet?.stop();
    await this.model.close();
    rmSync(this.stateDir, { recursive: true, force: true });
  }
}
