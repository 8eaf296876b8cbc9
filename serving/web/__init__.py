"""The pages people work with: sign-in, worklist, person, programme, models. Server-rendered, nothing from outside."""
