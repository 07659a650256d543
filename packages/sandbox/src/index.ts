export { type SandboxBroker, type SandboxBrokerOptions, startSandboxBroker } from "./broker.ts";
export { identify, isAlive, type ProcessIdentity } from "./local/process-table.ts";
