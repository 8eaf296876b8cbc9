from .gate import Gate as Gate
from .gate import problem as problem
from .roles import Door as Door
from .roles import Signer as Signer
