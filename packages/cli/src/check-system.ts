/** Says what a running system's model and broker answered. Pure. */
import type { SystemView } from "@valet/shared/protocol/system";
import type { ApiError } from "./api-transport.ts";
import type { Finding } from "./check-telemetry.ts";

const source = "asked by the running host";
const MODEL = "model's provider";
const BROKER = "sandbox broker";

const FREE = "no prompt was sent, since that may cost";

export function systemFindings(system: SystemView): Finding[] {
  return [providerFinding(system.model), brokerFinding(system)];
}

/**
 * Returns the findings where nothing could be asked.
 * @param why what follows "not checked: "
 * @param state `missing` where that is a fault of the running system
 */
export function uncheckedFindings(why: string, state: Finding["state"] = "note"): Finding[] {
  return [MODEL, BROKER].map((name) => ({ name, state, detail: `not checked: ${why}` }));
}

/** Returns the findings where the running system refused to say. A server that fails (5xx) is a fault of its own, and so is a bad token. */
export function refusedFindings({ status, message }: Pick<ApiError, "status" | "message">): Finding[] {
  return uncheckedFindings(message, status >= 500 || status === 401 ? "missing" : "note");
}

function providerFinding({ model, host, state, status }: SystemView["model"]): Finding {
  const finding = (kind: Finding["state"], detail: string): Finding => ({ name: MODEL, state: kind, detail, source });
  const http = status === null ? "" : ` (HTTP ${status})`;
  switch (state) {
    case "ok":
      return finding("ok", `${host} answers and has ${model}; ${FREE}`);
    case "model_unconfirmed":
      return finding("note", `${host} answers${http}; not checked: whether it has ${model}; ${FREE}`);
    case "model_unknown":
      return finding(
        "missing",
        `${host} answers and does not have ${model}${http}: set VALET_MODEL to one of its models where Valet runs`,
      );
    case "key_refused":
      return finding("missing", `${host} refuses the key${http}: set a valid one where Valet runs`);
    case "unreachable":
      return finding(
        "missing",
        `${host} does not answer: check the address (VALET_MODEL_BASE_URL) and the network where Valet runs`,
      );
    case "failing":
      return finding(
        "missing",
        `${host} answers with an error${http}: turns would be retried; look at the provider's status`,
      );
    case "unchecked":
      return finding(
        "note",
        `not checked: there is no free request for the provider of ${model}, or its key is not set`,
      );
  }
}

function brokerFinding({ broker, capacity }: SystemView): Finding {
  const { host, state, driver, awake, isDraining } = broker;
  const finding = (kind: Finding["state"], detail: string): Finding => ({ name: BROKER, state: kind, detail, source });
  if (state === "unreachable") {
    return finding("missing", `${host} does not answer: no sandbox starts or sleeps; start it (SANDBOX_BROKER_URL)`);
  }
  if (state === "not_a_broker") {
    return finding("missing", `at ${host} answers something that is no broker: check SANDBOX_BROKER_URL`);
  }
  const used = awake === null ? "how many sandboxes are awake is not known" : `${awake} awake`;
  const room = capacity.awake === null ? "no limit of Valet's own" : `at most ${capacity.awake}`;
  const starting = capacity.starting === null ? "" : `, ${capacity.starting} starting at once`;
  const text = `${host} answers; driver ${driver}; ${used}, ${room}${starting}`;
  if (isDraining)
    return finding("missing", `${text}; it is drained (SIGUSR2): no further sandbox starts; start it again`);
  const isFull = awake !== null && capacity.awake !== null && awake >= capacity.awake;
  return isFull
    ? finding("note", `${text}; all places are taken: further sessions wait for one that is idle`)
    : finding("ok", text);
}
