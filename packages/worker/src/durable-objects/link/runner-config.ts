/** Sends a runner its configuration after its hello: how to work, with which models, and on which repository. */
import { type ModelAccess, OWN_PROVIDER, withProvider } from "@valet/shared/protocol/model-access";
import type { ProviderContext } from "@valet/shared/protocol/provider-context";
import type { ToRunnerOf } from "@valet/shared/protocol/runner-link";
import type { TurnBounds } from "@valet/shared/protocol/turn";
import { contextHeaders } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { GitCredentials } from "../core/git-credentials.ts";
import type { SessionState } from "../core/session-state.ts";
import type { Timers } from "../core/timers.ts";
import type { Transactions } from "../core/transactions.ts";
import type { RunnerLink } from "./runner-link.ts";

export interface RunnerConfigOptions {
  readonly state: SessionState;
  readonly transactions: Transactions;
  readonly timers: Timers;
  readonly link: Pick<RunnerLink, "send">;
  /** What opens the repository. `openForClone` never rejects. */
  readonly credentials: { readonly isEmpty: boolean; openForClone(): Promise<GitCredentials | undefined> };
  readonly modelAccess: ModelAccess;
  readonly captureContent: boolean;
  readonly contentMaxBytes: number;
  readonly providerContext: ProviderContext;
  readonly tracing: boolean;
  readonly stuckTurnMs: number;
  readonly turnBounds: TurnBounds;
  /** Whether programs of commands send their traces, unless the session says otherwise. */
  readonly agentOtlp: boolean;
  /** Keeps the object alive for a promise that never rejects. */
  readonly background: (work: Promise<void>) => void;
  readonly now: () => number;
}

export class RunnerConfig {
  readonly #options: RunnerConfigOptions;

  constructor(options: RunnerConfigOptions) {
    this.#options = options;
  }

  /**
   * Sends the configuration after the commit. Secrets are sent once a generation: a runner that connects later with the same token
   * is told that they have been sent.
   */
  send(): void {
    const { transactions, link } = this.#options;
    const config = this.#config();
    transactions.afterCommit(() => {
      link.send(config);
      this.#sendRepository(config.hasSecrets ?? false);
    });
  }

  #config(): ToRunnerOf<"config"> {
    const { state, timers, now, modelAccess, captureContent, tracing, stuckTurnMs, turnBounds } = this.#options;
    const { contentMaxBytes, providerContext } = this.#options;
    const { agentOtlp = this.#options.agentOtlp } = state.record;
    const { id: sessionId, generation, model, models, link, trustRepositoryConfig, askBefore } = state.record;
    const { clockOffsetMs, hasSecrets = false } = link;
    const startDueMs = timers.dueMs("start");
    const asked = [model, ...models].filter((each) => each !== undefined);
    const access = withModels(modelAccess, asked);
    return withoutUndefined({
      type: "config",
      sessionId,
      generation,
      captureContent,
      contentMaxBytes,
      providerContext,
      tracing,
      stuckTurnMs,
      turnBounds,
      clockOffsetMs,
      modelAccess: hasSecrets ? withoutKeys(access) : access,
      trustRepositoryConfig: trustRepositoryConfig || undefined,
      agentOtlp: agentOtlp || undefined,
      askBefore,
      startMs: startDueMs === undefined ? undefined : Math.max(0, startDueMs - now()),
      hasSecrets: hasSecrets || undefined,
      takesSpansInEnds: true,
      takesChanges: true,
      acknowledgesSteps: true,
    } as const) as ToRunnerOf<"config">;
  }

  #sendRepository(hasSecrets: boolean): void {
    const { state, link, credentials, background } = this.#options;
    const { generation, repoUrl, branch, ref, operation } = state.record;
    // A runner that connects to a session which is already running sets up its repository in a trace of its own.
    const isStarting = operation?.kind === "spawn" || operation?.kind === "restore";
    const send = (open: GitCredentials | undefined) => {
      const { url = repoUrl, username, password } = open ?? {};
      const hasPassword = username !== undefined && password !== undefined;
      const repository = withoutUndefined({
        repoUrl: url,
        branch,
        ref,
        credentials: hasPassword ? { username, password } : undefined,
      });
      link.send({ type: "repo-config", ...repository, ...(isStarting && contextHeaders(operation.context)) });
    };
    if (hasSecrets || credentials.isEmpty) {
      send(undefined);
      return;
    }
    background(
      credentials.openForClone().then((open) => {
        if (state.record.generation === generation) send(open);
      }),
    );
  }
}

/** Adds the session's models: OpenCode refuses models of our own provider that it did not know when it started. */
function withModels(access: ModelAccess, asked: readonly string[]): ModelAccess {
  const { openAiCompatible } = access;
  if (openAiCompatible === undefined) return access;
  const models = asked.map(withProvider).filter((model) => model.startsWith(`${OWN_PROVIDER}/`));
  return { ...access, openAiCompatible: { ...openAiCompatible, models } };
}

function withoutKeys({ openAiCompatible, ...access }: ModelAccess): ModelAccess {
  const { apiKey, ...endpoint } = openAiCompatible ?? {};
  return {
    ...access,
    providerKeys: {},
    ...(openAiCompatible !== undefined && { openAiCompatible: endpoint as typeof openAiCompatible }),
  };
}
