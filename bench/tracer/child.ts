// Takes one measure in this process and prints it: `child.ts <measure> <full|quick>`. Started by suite.ts.
import { MEASURES, type MeasureId } from "./measures.ts";

const [id, effort] = process.argv.slice(2) as [MeasureId, "full" | "quick"];
const text = JSON.stringify(await MEASURES[id](effort === "quick"));
// The timer of effect's exporter would keep the process alive.
process.stdout.write(text, () => process.exit());
