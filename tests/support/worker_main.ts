/** A worker as a separate program, as the master starts it. */
import * as runtime from "#runtime";
import { runWorker } from "../../src/worker/worker.ts";

runWorker(runtime);
