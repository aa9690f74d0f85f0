/**
 * `#ocsp` of builds without `capabilities.staples`. They refuse the options that lead here, so they do
 * not need the library for OCSP responses.
 */
import type * as Present from "./present.ts";

export const runOcsp: typeof Present.runOcsp = refuse;
export const readResponseFile: typeof Present.readResponseFile = refuse;

function refuse(): never {
  throw new Error("this build staples no OCSP responses");
}
