/** Says what endpoints of webhooks do, for people. Pure. */
import type { TestedWebhook, WebhookView } from "@valet/shared/protocol/webhooks";
import { counted } from "./counted.ts";

export function webhookLines(webhooks: readonly WebhookView[]): string[] {
  if (webhooks.length === 0) return ["There are no webhooks. Add one with `valet webhooks add URL`."];
  return webhooks.flatMap((webhook) => [
    [webhook.id, webhook.enabled ? "enabled" : "disabled", webhook.url].join("  "),
    `  ${webhook.events.join(", ")}`,
    ...problemLines(webhook),
  ]);
}

/** Returns why an endpoint that is disabled, or fails, gets no events, and what to do. Of its URL, which may hold a key, only the host. */
export function webhookProblem({ id, url, disabledReason, failing }: WebhookView): string {
  const name = `${id} at ${URL.parse(url)?.host ?? "?"}`;
  const failed = failing === null ? "" : failingText(failing);
  if (disabledReason === null) return `${name} is ${failed}; fix it, then run \`valet webhooks test ${id}\``;
  const since = failed && ` (${failed})`;
  return `${name} is disabled: ${WHY_DISABLED[disabledReason]}${since}; ${disabledAdvice(id)}`;
}

const WHY_DISABLED = { gone: "it answered 410", failing: "it has failed for days" } as const;

/** A disabled endpoint that nobody needs any more would stay a problem for ever. */
const disabledAdvice = (id: string) =>
  `fix it, then run \`valet webhooks enable ${id}\`, or \`valet webhooks remove ${id}\` if it is gone for good`;

function failingText({ since, failures, at, error }: NonNullable<WebhookView["failing"]>): string {
  return `failing since ${since}: ${counted(failures, "failure")}, the last at ${at}: ${error}`;
}

function problemLines({ id, disabledReason, failing, givenUp, previousSecretUntil }: WebhookView): string[] {
  const why = disabledReason && WHY_DISABLED[disabledReason];
  return [
    ...(why === null ? [] : [`  disabled: ${why}; ${disabledAdvice(id)}`]),
    ...(failing === null ? [] : [`  ${failingText(failing)}`]),
    ...(givenUp === 0 ? [] : [`  ${counted(givenUp, "event")} could not be delivered`]),
    ...(previousSecretUntil === null ? [] : [`  the secret before is valid until ${previousSecretUntil}`]),
  ];
}

export function testedLine(id: string, { delivered, status, error, duration_ms: ms }: TestedWebhook): string {
  if (delivered) return `${id}: delivered; it answered ${status} after ${Math.round(ms)} ms.`;
  return `${id}: not delivered: ${error}.`;
}
