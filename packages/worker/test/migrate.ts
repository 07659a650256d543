/** Before each file of tests: its database has its tables. */
import { migrate } from "../src/setup.ts";
import { bindings } from "./bindings.ts";

await migrate(bindings.DB, bindings.MIGRATIONS);
