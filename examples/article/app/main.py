"""The app of the article: one answer, in JSON."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def read_root() -> dict[str, str]:
    """Say hello."""
    return {"Hello": "World"}
