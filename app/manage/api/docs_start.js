// Swagger UI on /api/docs. The specification is found beside this page, under whatever prefix it is served.
window.addEventListener("load", () => {
  window.SwaggerUIBundle({
    url: new URL("openapi.json", document.baseURI).href,
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
  });
});
