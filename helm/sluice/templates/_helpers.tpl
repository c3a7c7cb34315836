{{- define "sluice.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sluice.fullname" -}}
{{- $name := include "sluice.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ include "sluice.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sluice.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "sluice.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "sluice.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "sluice.lastPassive" -}}
{{- sub (add .Values.ports.passive.first .Values.ports.passive.count) 1 -}}
{{- end -}}

{{/* "true" if a store of type file is configured, which needs a volume. */}}
{{- define "sluice.fileStore" -}}
{{- range .Values.config.stores }}{{ if eq (default "" .type) "file" }}true{{ break }}{{ end }}{{ end -}}
{{- end -}}

{{/* The configuration file: what the user gave, and what follows from the other values. */}}
{{- define "sluice.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $listen := dict -}}
{{- if .Values.ports.explicit }}{{ $_ := set $listen "explicit" (list ":2121") }}{{ end -}}
{{- if .Values.ports.implicit }}{{ $_ := set $listen "implicit" (list ":2990") }}{{ end -}}
{{- $_ := set $config "listen" $listen -}}
{{- $passive := default dict $config.passive -}}
{{- $_ := set $passive "ports" (printf "%v-%s" .Values.ports.passive.first (include "sluice.lastPassive" .)) -}}
{{- $_ := set $config "passive" $passive -}}
{{- $tls := default dict $config.tls -}}
{{- $_ := set $tls "certificates" (list (dict "cert" "/etc/sluice/tls/tls.crt" "key" "/etc/sluice/tls/tls.key")) -}}
{{- if .Values.tls.clientCA.existingSecret }}{{ $_ := set $tls "clientCA" "/etc/sluice/client-ca/ca.crt" }}{{ end -}}
{{- $_ := set $config "tls" $tls -}}
{{- $_ := set $config "admin" (dict "listen" ":8080") -}}
{{- toYaml $config -}}
{{- end -}}

{{/* GOMEMLIMIT: nine tenths of the memory limit, so that the collector works harder before the kernel kills. */}}
{{- define "sluice.memoryLimit" -}}
{{- with ((.Values.resources).limits).memory -}}
{{- $mebibytes := trimSuffix "Mi" . -}}
{{- if hasSuffix "Gi" . }}{{ $mebibytes = mul 1024 (trimSuffix "Gi" . | int64) }}{{ end -}}
{{- div (mul 9 (int64 $mebibytes)) 10 }}MiB
{{- end -}}
{{- end -}}
