/** The OCSP helper as a separate program, as the master starts it. */
import * as runtime from "#runtime";
import { runOcsp } from "../../src/ocsp/ocsp_process.ts";

runOcsp(runtime);
