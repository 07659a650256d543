/** Makes the plugin's hooks. Without a runner the plugin has no tools; variables that shells must not see are blanked in any case. */
import { LIMITS } from "@valet/shared/limits";
import { childSessionTools } from "./child-session-tools.ts";
import { refuseForeignCode } from "./foreign-code.ts";
import { hideProcess } from "./hide-process.ts";
import { modelCallPermits } from "./model-call-permits.ts";
import { ModelRequests, readCapturesContent } from "./model-requests.ts";
import { OpenAnswers } from "./open-answers.ts";
import { observeProviderCalls } from "./provider-calls.ts";
import { readRefusals } from "./refusals.ts";
import { readAccess, readHiddenVariables, readHidesProcess, readTrust } from "./runner-access.ts";
import { readCommitHooks, type ShellInput, shellEnvironments } from "./shell-environment.ts";
import { answerWarmUps } from "./warm-up.ts";

/** In milliseconds. Only tests set them. */
export interface PluginLimits {
  /** How long a provider's stream may bring no event. */
  readonly silenceMs?: number;
  /** How long a model call or a command waits for what the runner says about it. */
  readonly hookMs?: number;
}

/** Takes what the runner has left in this process's environment, and returns the plugin. */
export function makePlugin({ silenceMs, hookMs = LIMITS.hookMs }: PluginLimits = {}) {
  const access = readAccess(process.env);
  const refusals = readRefusals(process.env);
  const blanks = readHiddenVariables(process.env);
  const hooks = readCommitHooks(process.env);
  // Before the first command can be started, which must not find the keys.
  const hiding = readHidesProcess(process.env) ? hideProcess() : Promise.resolve(true);
  if (!readTrust(process.env)) refuseForeignCode();

  const answers = new OpenAnswers();
  const requests = new ModelRequests(readCapturesContent(process.env));
  const variablesOf = access === undefined ? undefined : shellEnvironments(access, answers, hooks, blanks, hookMs);
  const permits =
    access === undefined
      ? undefined
      : modelCallPermits(access, answers, refusals, { hookMs, permitMs: LIMITS.callPermitMs });
  const onModelCall = access === undefined ? undefined : observeProviderCalls(access, silenceMs);
  const warmUps = answerWarmUps();

  type HeadersInput = Parameters<NonNullable<typeof onModelCall>>[0] &
    Parameters<NonNullable<typeof permits>["headers"]>[0] &
    Parameters<typeof requests.prepared>[0] &
    Parameters<typeof warmUps.mark>[0];

  return async () => {
    const isHidden = await hiding;
    return {
      ...(permits !== undefined && { event: permits.event, ...requests.hooks }),
      "chat.headers": async (input: HeadersInput, output: { headers: Record<string, string> }) => {
        // Neither a request to a provider nor part of a turn.
        if (warmUps.isWarmUp(input)) return warmUps.mark(input, output);
        const { permit, call } = (await permits?.headers(input, output)) ?? {};
        onModelCall?.(input, output, permit, call && (() => requests.prepared(input, call)));
      },
      ...(access !== undefined && { tool: childSessionTools(access) }),
      "shell.env": async (input: ShellInput, output: { env: Record<string, string | undefined> }) => {
        if (!isHidden) throw new Error("Valet runs no command, since it cannot hide the agent's keys from it.");
        Object.assign(output.env, blanks, await variablesOf?.(input));
      },
    };
  };
}
