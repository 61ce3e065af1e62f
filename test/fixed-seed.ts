/**
 * Loaded before the tests by `npm test`: properties draw the same cases each time, so that a change is judged by what it
 * changes. SKEIN_SEED names another seed. Without this file, as in `npm run soak` and `test:one`, each run draws new cases.
 */
import fc from "fast-check";

fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(process.env.SKEIN_SEED ?? 20_261_127) });
