/**
 * The one place where the variables are made by which a command takes part in its session's trace: that of a tool call of the
 * agent, and that of a workflow's step.
 */
import { contextHeaders, type SpanContext } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";

/** A command that the agent or a workflow is about to run. */
export interface Command {
  /** The context of its span, `execute_tool` or `valet.workflow.step`, whose id is that of the command, too. */
  readonly context: SpanContext;
}

/** Returns the variables by which programs of a command find the runner's OTLP receiver; none if it is switched off. */
export type OtlpVariables = (context: SpanContext) => Record<string, string>;

/** Returns the variables, none of a command without a trace. Those of the same names that are set already must go. */
export function commandEnvironment({ context }: Command, otlp: OtlpVariables = () => ({})): Record<string, string> {
  const { traceparent, tracestate } = contextHeaders(context);
  return { ...withoutUndefined({ TRACEPARENT: traceparent, TRACESTATE: tracestate }), ...otlp(context) };
}
