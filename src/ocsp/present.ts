/** `#ocsp` of builds that staple: the code that needs the library for OCSP responses. */
export { runOcsp } from "./ocsp_process.ts";
export { readResponseFile } from "./response_file.ts";
