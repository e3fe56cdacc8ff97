import react from "@vitejs/plugin-react";
import license from "rollup-plugin-license";
import { defineConfig } from "vite";

const target = "../nexus_xr/server/viewer";

// Paths are relative, so that the pages work below whatever path a proxy gives them.
export default defineConfig({
  base: "./",
  plugins: [react()],
  build: {
    outDir: target,
    emptyOutDir: true,
    chunkSizeWarningLimit: 2000,
    rollupOptions: {
      output: { entryFileNames: "viewer.js", assetFileNames: "viewer[extname]", inlineDynamicImports: true },
      plugins: [license({ thirdParty: { output: { file: `${target}/LICENSES.txt` } } })],
    },
  },
});
