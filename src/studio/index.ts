import "../node-version.ts";

export { createStudio, type StudioOptions, type StudioPageOptions, type StudioServer } from "./create-studio.ts";
