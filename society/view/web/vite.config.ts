import { defineConfig } from "vite";

// Names without hashes keep the committed build easy to compare; nothing is inlined, because the
// server's policy allows no inline script, style or data font.
export default defineConfig({
  base: "/",
  build: {
    outDir: "../static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    chunkSizeWarningLimit: 700,
    license: { fileName: "LICENSES.md" }, // the texts of everything that is bundled
    rollupOptions: {
      output: {
        entryFileNames: "assets/[name].js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
});
