"""What every route needs: settings, the guard, request bodies, errors, dependencies."""
