/** Gives a start of OpenCode the permitted part of the repository's configuration, and reports what of it cannot be used. */
import { endWith } from "@valet/shared/outcome";
import type { ModelAccess } from "@valet/shared/protocol/model-access";
import type { RunnerWarning } from "@valet/shared/protocol/warnings";
import type { ValetSpans } from "@valet/shared/spans";
import type { SpanContext, Tracer } from "@valet/shared/tracing";
import { overriddenSettings, secretVariables } from "./config.ts";
import type { ConfigFolder, WrittenConfig } from "./config-folder.ts";

interface ApplyOptions {
  readonly workspace: string;
  readonly modelAccess: ModelAccess;
  readonly tracer: Tracer<ValetSpans>;
  readonly trustsRepository?: boolean;
  readonly onProblem?: (problem: string) => void;
  readonly onWarning?: (warning: RunnerWarning) => void;
}

export interface AppliedConfig extends WrittenConfig {
  /** Whether only its text applies, or all of it. */
  readonly kind: "text" | "trusted";
}

/** @param parent the start's span */
export function applyConfig(folder: ConfigFolder, options: ApplyOptions, parent: SpanContext): AppliedConfig {
  const { workspace, modelAccess, tracer, trustsRepository = false, onProblem, onWarning } = options;
  const written = folder.write({
    workspace,
    isTrusted: trustsRepository,
    secretVariables: secretVariables(modelAccess),
    overridden: overriddenSettings(modelAccess),
  });
  for (const problem of written.problems) onProblem?.(problem);
  if (written.problems.length > 0) {
    const span = tracer.startSpan("valet.runner.repository_config", { parent });
    endWith(span, "error", "repository_config_invalid");
    onWarning?.("repository_config_invalid");
  }
  if (written.ignored.length > 0) {
    onProblem?.(
      `these settings of the repository have no effect, since Valet decides them: ${written.ignored.join(", ")}`,
    );
    onWarning?.("repository_config_ignored");
  }
  return { ...written, kind: trustsRepository ? "trusted" : "text" };
}
