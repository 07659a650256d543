/** Says which endpoints of webhooks do not get their events. Pure. */
import type { WebhookView } from "@valet/shared/protocol/webhooks";
import type { Finding } from "./check-telemetry.ts";
import { counted } from "./counted.ts";
import { webhookProblem } from "./webhooks-text.ts";

const name = "webhooks";
const source = "read from the API";
/** An endpoint that has failed for less than this may be restarting; what waits for it is tried again. */
const BRIEF_MS = 60_000;

/**
 * Returns a finding for each endpoint that fails or is disabled, one for the others, and none where nobody has added any.
 * @param nowMs by the server's clock
 */
export function webhookFindings(webhooks: readonly WebhookView[], nowMs: number): Finding[] {
  if (webhooks.length === 0) return [];
  const troubled = troubledWebhooks(webhooks);
  const well = webhooks.length - troubled.length;
  const others = troubled.length === 0 ? "" : "other ";
  const fine: Finding = {
    name,
    state: "ok",
    detail: `${counted(well, `${others}endpoint`)} without a failure`,
    source,
  };
  const findings = troubled.map((webhook): Finding => {
    const { enabled, failing } = webhook;
    const isBrief = enabled && failing !== null && nowMs - Date.parse(failing.since) < BRIEF_MS;
    return { name, state: isBrief ? "note" : "missing", detail: webhookProblem(webhook), source };
  });
  return well === 0 ? findings : [...findings, fine];
}

/** Returns the endpoints that are disabled, or whose last try failed. */
export function troubledWebhooks(webhooks: readonly WebhookView[]): WebhookView[] {
  return webhooks.filter(({ enabled, failing }) => !enabled || failing !== null);
}

/** Returns the finding where the running system, which answers otherwise, could not say. */
export function uncheckedWebhooks(why: string): Finding {
  return { name, state: "note", detail: `not checked: ${why}` };
}
